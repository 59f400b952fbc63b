//! The rules, their runbooks, the dashboards, and whatever mounts them, name each other rightly.

use crate::workspace::{read, root};
use std::collections::BTreeSet;

const MONITORING: &str = "k8s/components/monitoring";
const DASHBOARDS: [&str; 3] = ["overview", "ingest", "worker"];

fn rules() -> String {
    read(&format!("{MONITORING}/rules/spillway.yaml"))
}

fn dashboard(name: &str) -> serde_json::Value {
    let text = read(&format!("{MONITORING}/dashboards/{name}.json"));
    serde_json::from_str(&text).expect("a dashboard is JSON")
}

/// What follows `key: ` on the lines that start with it.
fn values<'a>(text: &'a str, key: &str) -> BTreeSet<&'a str> {
    let lines = text
        .lines()
        .map(|line| line.trim_start().trim_start_matches("- "));
    let values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    values.collect()
}

#[test]
fn the_operator_s_rules_are_those_of_the_plain_file() {
    let (plain, operators) = (
        rules(),
        read(&format!("{MONITORING}/prometheusrule-spillway.yaml")),
    );
    let groups = &plain[plain.find("groups:").expect("groups")..];
    let indented = groups.lines().map(|line| match line {
        "" => "\n".to_owned(),
        line => format!("  {line}\n"),
    });
    let (_, spec) = operators.split_once("\nspec:\n").expect("a spec");
    assert_eq!(spec, indented.collect::<String>());
}

#[test]
fn every_alert_has_a_test_and_a_runbook_that_starts_with_what_to_look_at_and_what_to_type() {
    let (rules, test) = (
        rules(),
        read(&format!("{MONITORING}/rules-test/spillway.yaml")),
    );
    let alerts = values(&rules, "alert");
    assert!(alerts.len() >= 10, "{alerts:?}");
    assert_eq!(alerts, values(&test, "alertname"), "each is tested");
    let pages: BTreeSet<String> = std::fs::read_dir(root().join("docs/runbooks"))
        .expect("the runbooks")
        .map(|page| {
            page.expect("a page")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let expected: BTreeSet<String> = alerts.iter().map(|alert| format!("{alert}.md")).collect();
    assert_eq!(pages, expected);
    for alert in alerts {
        let path = format!("docs/runbooks/{alert}.md");
        assert!(
            rules.contains(&format!("runbook_url: {path}\n")),
            "nobody links {path}"
        );
        let page = read(&path);
        let starts = format!("# {alert}\n\n## Look at\n\n");
        assert!(page.starts_with(&starts), "{path}");
        assert!(page.contains("\n## Type\n\n```sh\n"), "{path}");
    }
    // A test that only fires, or only does not, has half of its point.
    let cases: Vec<&str> = test.split("alertname: ").skip(1).collect();
    for alert in values(&rules, "alert") {
        let cases = || {
            cases
                .iter()
                .filter(|case| case.lines().next() == Some(alert))
        };
        let fires = |case: &&&str| {
            case.lines()
                .nth(1)
                .is_some_and(|line| line.trim() == "exp_alerts:")
        };
        assert!(cases().any(|case| fires(&case)), "{alert} never fires");
        assert!(cases().any(|case| !fires(&case)), "{alert} always fires");
    }
}

#[test]
fn the_panels_that_the_runbooks_name_are_there() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        let panels = dashboard["panels"].as_array().expect("panels");
        let titles = panels.iter().map(|panel| &panel["title"]);
        known.extend(titles.chain([&dashboard["title"]]).map(|title| {
            let title = title.as_str().expect("a title");
            title.trim_start_matches("Spillway / ").to_owned()
        }));
    }
    let alerts = rules();
    for alert in values(&alerts, "alert") {
        let page = read(&format!("docs/runbooks/{alert}.md"));
        let look = page.split("\n## ").nth(1).expect("what to look at");
        for line in look.lines().filter(|line| line.contains("Dashboard *")) {
            for named in line.split('*').skip(1).step_by(2) {
                assert!(known.contains(named), "{alert}: no panel *{named}*");
            }
        }
    }
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_of_which_source() {
    for name in DASHBOARDS {
        let dashboard = dashboard(name);
        let variables = dashboard["templating"]["list"]
            .as_array()
            .expect("variables");
        let names: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
        assert_eq!(names[..2], ["datasource", "namespace"], "{name}");
        for panel in dashboard["panels"].as_array().expect("panels") {
            if panel["type"] == "row" {
                continue;
            }
            let says =
                |text: &serde_json::Value| text.as_str().is_some_and(|text| !text.is_empty());
            assert!(says(&panel["description"]), "{panel}");
            assert!(says(&panel["fieldConfig"]["defaults"]["unit"]), "{panel}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
}

#[test]
fn what_compose_mounts_is_there_and_prometheus_scrapes_the_ports_that_listen() {
    let compose = read("docker-compose.yml");
    let mounts = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- ./"));
    let mounts: Vec<_> = mounts.filter_map(|mount| mount.split(':').next()).collect();
    assert!(
        mounts.contains(&"k8s/components/monitoring/rules"),
        "{mounts:?}"
    );
    assert!(
        mounts.contains(&"k8s/components/monitoring/dashboards"),
        "{mounts:?}"
    );
    for mount in mounts {
        assert!(
            root().join(mount).exists(),
            "{mount} is mounted and is not there"
        );
    }
    let scraped = read("compose/prometheus.yml");
    for (job, port) in [("ingest", 9081), ("worker", 9082), ("control", 9080)] {
        assert!(scraped.contains(&format!(
            "- names: [{job}]\n        type: A\n        port: {port}\n"
        )));
        assert!(
            compose.contains(&format!("LISTEN: 0.0.0.0:{port}\n")),
            "{port}"
        );
    }
}
