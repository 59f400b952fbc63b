//! Every path, program, port and variable that Dockerfile and docker-compose.yml name exists.

use std::collections::HashSet;

use crate::workspace::{Metadata, read, root, source_of};

/// The crates that read the configuration and open the ports.
const PROGRAMS: [&str; 3] = ["ops", "ingest", "worker"];

fn dockerfile() -> String {
    read("Dockerfile")
}

fn compose() -> String {
    read("docker-compose.yml")
}

#[test]
fn what_the_image_copies_is_there_and_is_all_of_the_workspace() {
    let sources = copied();
    assert!(!sources.is_empty(), "nothing is copied");
    for source in &sources {
        assert!(root().join(source).exists(), "COPY {source}: no such file");
        let kept = format!("!{source}");
        assert!(
            read(".dockerignore").lines().any(|line| line == kept),
            "{source} is ignored"
        );
    }
    for package in Metadata::ask().members() {
        let path = package
            .manifest_path
            .strip_prefix(root())
            .expect("a member lies within");
        let is_copied = sources.iter().any(|source| path.starts_with(source));
        assert!(is_copied, "{} is not copied into the image", path.display());
    }
}

/// The sources of `COPY a b target`, save those from an earlier stage.
fn copied() -> Vec<String> {
    let dockerfile = dockerfile();
    let lines = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "));
    let sources = lines
        .filter(|line| !line.starts_with("--from"))
        .flat_map(|line| {
            let paths: Vec<&str> = line.split_whitespace().collect();
            paths[..paths.len() - 1].to_vec()
        });
    sources.map(str::to_owned).collect()
}

#[test]
fn every_program_named_is_built_here() {
    let metadata = Metadata::ask();
    let targets = metadata.members().flat_map(|package| &package.targets);
    let binaries: HashSet<&str> = targets
        .filter(|target| target.kind.iter().any(|kind| kind == "bin"))
        .map(|target| target.name.as_str())
        .collect();
    let mut named = words_after(&dockerfile(), "--bin ");
    named.extend(words_after(&dockerfile(), "target/release/"));
    let commands = words_after(&compose(), "command: [\"");
    // Servers have commands too.
    named.extend(
        commands
            .into_iter()
            .filter(|program| program.starts_with("spillway")),
    );
    for program in ["spillway", "spillway-ingest", "spillway-worker"] {
        assert!(named.contains(program), "{program} is not in the image");
    }
    for program in named {
        assert!(
            binaries.contains(program.as_str()),
            "no crate builds {program}"
        );
    }
}

#[test]
fn the_image_is_built_with_the_rust_of_the_workspace() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("Cargo.toml");
    let version = manifest["workspace"]["package"]["rust-version"]
        .as_str()
        .expect("a version");
    assert!(
        dockerfile().contains(&format!("FROM rust:{version}-")),
        "not rust {version}"
    );
}

#[test]
fn every_variable_named_is_read_somewhere() {
    let programs = source_of(&PROGRAMS);
    let testkit = source_of(&["testkit"]);
    let variables = variables(&(dockerfile() + &compose()));
    assert!(variables.contains("WEBHOOK_SECRET"), "{variables:?}");
    for variable in variables {
        let source = if variable.starts_with("SPILLWAY_TEST_") {
            &testkit
        } else {
            &programs
        };
        assert!(
            source.contains(&format!("\"{variable}\"")),
            "nobody reads {variable}"
        );
    }
}

#[test]
fn every_port_of_ours_is_a_default_of_ours() {
    let programs = source_of(&PROGRAMS);
    let compose = compose();
    let listening = words_after(&compose, "LISTEN: 0.0.0.0:");
    assert_eq!(listening.len(), 4, "{listening:?}");
    for port in &listening {
        assert!(
            programs.contains(&format!("127.0.0.1:{port}\"")),
            "{port} is nobody's default"
        );
        assert!(
            compose.contains(&format!(":{port}\"\n")),
            "{port} is not published"
        );
    }
    let exposed = dockerfile();
    let exposed = exposed
        .lines()
        .find_map(|line| line.strip_prefix("EXPOSE "))
        .expect("EXPOSE");
    let exposed: HashSet<String> = exposed.split_whitespace().map(str::to_owned).collect();
    assert_eq!(exposed, listening);
}

/// Where `ingest` says who its broker is, that service is there, is waited for and is healthy.
#[test]
fn every_server_named_in_a_url_is_a_service_with_a_health_check() {
    let compose = compose();
    for server in ["rabbitmq", "redis", "postgres"] {
        let service = service(&compose, server);
        assert!(
            service.contains("healthcheck:"),
            "{server} has no health check"
        );
    }
    for (program, servers) in [
        ("ingest", &["rabbitmq"][..]),
        ("worker", &["rabbitmq", "redis", "postgres"]),
        ("control", &["rabbitmq", "postgres"]),
    ] {
        let service = service(&compose, program);
        for server in servers {
            let waits = format!("      {server}:\n        condition: service_healthy\n");
            assert!(
                service.contains(&waits),
                "{program} does not wait for {server}"
            );
        }
    }
}

/// The lines of one service: from its key to the next one at the same depth.
fn service<'a>(compose: &'a str, name: &str) -> &'a str {
    let key = format!("\n  {name}:\n");
    let start = compose
        .find(&key)
        .unwrap_or_else(|| panic!("no service {name}"))
        + key.len();
    let rest = &compose[start..];
    let is_key = |(at, _): &(usize, &str)| {
        !rest[at + 1..].starts_with("    ") && !rest[at + 1..].starts_with('\n')
    };
    let end = rest
        .match_indices('\n')
        .find(is_key)
        .map_or(rest.len(), |(at, _)| at + 1);
    &rest[..end]
}

/// The word that follows each `mark`.
fn words_after(text: &str, mark: &str) -> HashSet<String> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let rests = text.split(mark).skip(1);
    rests
        .map(|rest| rest.chars().take_while(|&letter| is_word(letter)).collect())
        .collect()
}

fn variables(text: &str) -> HashSet<String> {
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    let words = text.split(|letter: char| !is_part(letter));
    words
        .filter(|word| word.starts_with("SPILLWAY_") || *word == "WEBHOOK_SECRET")
        .map(str::to_owned)
        .collect()
}
