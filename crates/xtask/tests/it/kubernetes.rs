//! What the manifests of `k8s/` name is what the programs really have.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::Program;

use crate::workspace::{Metadata, read, root, source_of};

/// Other people's manifests in ours: their servers, not our programs.
const SERVERS: [&str; 3] = ["rabbitmq", "postgres", "redis"];

#[test]
fn a_file_holds_one_object_and_is_named_after_it_and_listed() {
    let objects = objects();
    assert!(objects.len() > 20, "{}", objects.len());
    for (path, text) in objects {
        let kind = field(&text, "kind: ").to_lowercase();
        let name = field(&text, "  name: ");
        let file = path.file_name().expect("a name").to_string_lossy();
        assert_eq!(file, format!("{kind}-{name}.yaml"), "{}", path.display());
        assert!(!text.contains("\n---"), "{} holds several", path.display());
        let folder = path.parent().expect("a folder");
        let list = fs::read_to_string(folder.join("kustomization.yaml")).expect("a list");
        assert!(
            list.contains(&format!("  - {file}\n")),
            "{} is in no list",
            path.display()
        );
    }
}

#[test]
fn every_image_is_ours_or_of_a_fixed_version() {
    for (path, text) in objects() {
        for image in values(&text, "image: ") {
            let is_fixed = image.contains(':') && !image.ends_with("latest");
            assert!(
                image == "spillway" || is_fixed,
                "{}: {image}",
                path.display()
            );
        }
    }
}

#[test]
fn every_program_port_probe_and_variable_is_one_of_ours() {
    let metadata = Metadata::ask();
    let targets = metadata.members().flat_map(|package| &package.targets);
    let programs: HashSet<&str> = targets.map(|target| target.name.as_str()).collect();
    let source = source_of(&["ops", "ingest", "worker", "spillway"]);
    let mut ports = BTreeSet::new();
    for (path, text) in objects_of_ours() {
        let path = path.display();
        for command in values(&text, "command: [") {
            let program = command.split([',', ']']).next().unwrap_or_default();
            assert!(programs.contains(program), "{path}: no program {program}");
        }
        for port in values(&text, "containerPort: ") {
            let is_default = source.contains(&format!("127.0.0.1:{port}\""));
            assert!(is_default, "{path}: {port} is nobody's default");
            ports.insert(port);
        }
        for page in values(&text, " path: /") {
            let is_served = source.contains(&format!("\"/{page}\""));
            assert!(is_served, "{path}: nobody serves /{page}");
        }
        for variable in values(&text, "- name: SPILLWAY_") {
            let read = source.contains(&format!("\"SPILLWAY_{variable}\""));
            assert!(read, "{path}: nobody reads SPILLWAY_{variable}");
        }
    }
    let ports: Vec<_> = ports.iter().map(String::as_str).collect();
    assert_eq!(ports, ["8080", "9080", "9081", "9082"]);
}

#[test]
fn the_autoscalers_follow_what_control_serves() {
    let source = source_of(&["spillway"]);
    let keda = read("k8s/overlays/keda/scaledobject-worker.yaml");
    let url = "http://control.spillway.svc:9080/scaling/payments";
    assert_eq!(values(&keda, "url: "), [url]);
    assert!(source.contains("\"/scaling/{pipeline}\""));
    for location in values(&keda, "valueLocation: ") {
        assert!(source.contains(&format!(" {location}: Option<u32>")));
    }
    let hpa = read("k8s/overlays/hpa/horizontalpodautoscaler-worker.yaml");
    let rule = read("k8s/overlays/hpa/configmap-adapter-rules.yaml");
    for metric in values(&hpa, "name: spillway_") {
        assert!(source.contains(&format!("\"{metric}\"")), "{metric}");
        assert!(rule.contains(&format!("__name__=\"spillway_{metric}\"")));
    }
}

/// The thresholds stand in one file, with the defaults of the programs.
#[test]
fn the_thresholds_are_the_defaults() {
    let source = source_of(&["ops"]);
    let thresholds = read("k8s/base/scaling.env");
    let lines = thresholds.lines().filter(|line| !line.starts_with('#'));
    let thresholds: Vec<_> = lines.filter_map(|line| line.split_once('=')).collect();
    assert_eq!(thresholds.len(), 4);
    for (variable, value) in thresholds {
        let line = format!("#[config(default = {value}, env = \"{variable}\")]");
        assert!(source.contains(&line), "{variable}={value} is no default");
    }
}

/// What our simulation takes for the behaviour of the autoscalers is what they are told.
#[test]
fn the_simulated_behavior_is_that_of_the_overlays() {
    for overlay in [
        "keda/scaledobject-worker.yaml",
        "hpa/horizontalpodautoscaler-worker.yaml",
    ] {
        let text = read(&format!("k8s/overlays/{overlay}"));
        assert_eq!(values(&text, "stabilizationWindowSeconds: "), ["0", "0"]);
        assert_eq!(values(&text, "- type: Percent\n"), ["value: 400"]);
        let by_pods = ["value: 10", "value: 5"];
        assert_eq!(values(&text, "- type: Pods\n"), by_pods, "{overlay}");
        assert_eq!(values(&text, "periodSeconds: "), ["15"; 3], "{overlay}");
    }
    let simulated = source_of(&["spillway"]);
    for part in [
        "percent: 400,\n        pods: 10,",
        "percent: 0,\n        pods: 5,",
    ] {
        assert!(simulated.contains(part), "not simulated: {part}");
    }
}

/// Every program reads the configuration of the cluster, and finds nothing wrong with it.
#[tokio::test]
async fn the_programs_take_the_configuration_of_the_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let mounted = "/run/secrets/spillway";
    let config = read("k8s/base/spillway.toml");
    for (file, secret) in [
        ("broker-url", "amqp://spillway:x@rabbitmq:5672/%2f\n"),
        (
            "ledger-url",
            "postgres://spillway:x@postgres:5432/spillway\n",
        ),
        ("recall-url", "redis://redis:6379\n"),
        ("webhook-secret", "a secret that only tests know\n"),
    ] {
        assert!(config.contains(&format!("file:{mounted}/{file}\"")));
        fs::write(folder.path().join(file), secret).expect("written");
    }
    let config = config.replace(mounted, &folder.path().to_string_lossy());
    let path = folder.path().join("spillway.toml");
    fs::write(&path, config).expect("written");
    for (program, command) in [
        ("spillway-ingest", None),
        ("spillway-worker", None),
        ("spillway", Some("control")),
    ] {
        let checking = Program::new(program).args(command).arg("--check");
        let checking = checking.arg("--config").arg(&path);
        let mut running = checking.spawn().expect("built");
        let status = running.wait(Duration::from_secs(30)).await.expect("ends");
        assert!(
            status.success(),
            "{program}: {}",
            running.complete_output().await
        );
    }
}

/// Every object under `k8s/`, by its file; a kustomization is none.
fn objects() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root().join("k8s"), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("readable");
        (path, text)
    };
    found.into_iter().map(read).collect()
}

fn objects_of_ours() -> Vec<(PathBuf, String)> {
    let is_server = |path: &Path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        SERVERS.iter().any(|server| name.ends_with(server))
    };
    let objects = objects().into_iter();
    objects.filter(|(path, _)| !is_server(path)).collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The rules of Prometheus and their tests are no objects of Kubernetes.
        if path.is_dir() && !name.starts_with("rules") {
            collect(&path, found);
        } else if name.ends_with(".yaml") && name != "kustomization.yaml" {
            found.push(path);
        }
    }
}

/// The first value of a key at the beginning of a line.
fn field(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.unwrap_or_else(|| panic!("no {key}in\n{text}"))
        .to_owned()
}

/// The rest of each line that holds `mark`, or of the next one where the mark ends its line.
fn values(text: &str, mark: &str) -> Vec<String> {
    let rests = text.split(mark).skip(1);
    let first = |rest: &str| rest.lines().next().unwrap_or_default().trim().to_owned();
    rests.map(first).collect()
}
