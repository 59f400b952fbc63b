//! What operators look at: the metrics pages, and every expression of the rules and dashboards that ask them.

use chaos::sender::Event;
use chaos::system::{Corner, Node, serve};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use testkit::{Prometheus, wait_until};

/// Scrapes and evaluations come once a second; the slowest expression needs a few of each.
const PATIENCE: Duration = Duration::from_secs(90);
const DASHBOARDS: [&str; 3] = ["overview", "ingest", "worker"];

/// Everything that has a page, running.
struct Programs {
    _corner: Corner,
    ingest: Node,
    worker: Node,
    control: Node,
    serve: Node,
    _folder: tempfile::TempDir,
}

impl Programs {
    async fn start() -> Self {
        let (corner, folder) = (Corner::new().await, tempfile::tempdir().unwrap());
        let servers = &corner.servers;
        let (serve, _books) = serve(folder.path()).await;
        Self {
            ingest: servers.ingest().await,
            worker: servers.worker().await,
            control: servers.control().await,
            serve,
            _folder: folder,
            _corner: corner,
        }
    }

    fn each(&self) -> [(&'static str, &Node); 4] {
        [
            ("ingest", &self.ingest),
            ("worker", &self.worker),
            ("control", &self.control),
            ("serve", &self.serve),
        ]
    }
}

fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// One family of a page.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    help: String,
    labels: BTreeSet<String>,
}

/// The families of a page that are ours, without the prefix.
fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("# HELP spillway_") {
            let (name, help) = text.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some(text) = line.strip_prefix("# TYPE spillway_") {
            let (name, kind) = text.split_once(' ').unwrap();
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if let Some(sample) = line.strip_prefix("spillway_") {
            let (name, rest) = sample.split_at(sample.find(['{', ' ']).unwrap());
            let stem = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                families
                    .get(name.strip_suffix(suffix)?)
                    .and(name.strip_suffix(suffix))
            });
            let family = families.get_mut(stem.unwrap_or(name)).unwrap();
            let names = rest
                .split('"')
                .step_by(2)
                .filter_map(|part| part.strip_suffix('='));
            let names = names.map(|name| name.trim_start_matches(['{', ',']).to_owned());
            family.labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_well_formed_complete_from_the_start_and_as_the_table_says() {
    let programs = Programs::start().await;
    for node in [&programs.control, &programs.serve] {
        // The one that does not begin at zero, which an autoscaler would obey: the ledger is asked first.
        wait_until("there is a desired number", PATIENCE, async || {
            node.metrics().await.contains("\nspillway_desired_workers{")
        })
        .await;
    }
    let mut table: BTreeMap<String, (Family, Vec<&str>)> = BTreeMap::new();
    for (name, node) in programs.each() {
        let page = node.metrics().await;
        promtool_accepts(name, &page);
        assert!(
            page.contains("\nprocess_cpu_seconds_total "),
            "{name}: {page}"
        );
        assert!(
            page.contains("\nprocess_resident_memory_bytes "),
            "{name}: {page}"
        );
        for (metric, family) in families(&page) {
            assert!(!family.help.is_empty(), "{metric} has no help");
            let (known, programs) = table.entry(metric).or_default();
            known.labels.extend(family.labels.iter().cloned());
            (known.kind, known.help) = (family.kind, family.help);
            programs.push(name);
        }
    }
    for (metric, (_, programs)) in &table {
        assert!(
            programs.contains(&"serve"),
            "{metric} is not on the page of serve"
        );
    }
    let rows = table.iter().map(|(metric, (family, programs))| {
        let labels: Vec<_> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let programs: Vec<_> = programs
            .iter()
            .filter(|name| **name != "serve")
            .copied()
            .collect();
        let Family { kind, help, .. } = family;
        format!(
            "| `{metric}` | {kind} | {} | {} | {help} |\n",
            labels.join(", "),
            programs.join(", ")
        )
    });
    let rows: String = rows.collect();
    let document = std::fs::read_to_string(repository("docs/observability.md")).unwrap();
    assert!(
        document.contains(&rows),
        "docs/observability.md should have these rows:\n{rows}"
    );
}

fn promtool_accepts(name: &str, page: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool comes with Debian's prometheus");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success() && said.trim().is_empty(),
        "{name}: {said}\n{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_of_every_panel_rule_and_alert_has_an_answer_under_load() {
    let programs = Programs::start().await;
    let jobs = programs
        .each()
        .map(|(name, node)| (name, vec![node.admin().to_owned()]));
    let rules = repository("k8s/components/monitoring/rules/spillway.yaml");
    let prometheus = Prometheus::start(&jobs, &rules.canonicalize().unwrap())
        .await
        .unwrap();

    let mut wanted = panels();
    let mut rules = Vec::new();
    for group in prometheus.rules().await.unwrap() {
        rules.extend(group["rules"].as_array().unwrap().clone());
    }
    assert!(rules.len() >= 20, "{rules:?}");
    for rule in &rules {
        let query = rule["query"].as_str().unwrap();
        if rule["type"] == "recording" {
            wanted.insert(rule["name"].as_str().unwrap().to_owned());
            wanted.insert(query.to_owned());
        }
        // An alert has no answer while it does not fire; what it looks at has to be there all the same.
        wanted.extend(selectors(query));
    }
    let parts: Vec<String> = wanted
        .iter()
        .flat_map(|expression| selectors(expression))
        .collect();
    wanted.extend(parts);

    let (deadline, mut number) = (Instant::now() + PATIENCE, 0);
    while !wanted.is_empty() {
        assert!(Instant::now() < deadline, "nothing answers to {wanted:#?}");
        load(&programs, number).await;
        number += 1;
        for expression in wanted.clone() {
            if has_answer(&prometheus.query(&expression).await.unwrap()) {
                wanted.remove(&expression);
            }
        }
    }
    for group in prometheus.rules().await.unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
}

/// A number that means something: a ratio of nothing to nothing does not.
fn has_answer(series: &[Value]) -> bool {
    series.iter().any(|series| series["value"][1] != "NaN")
}

/// A little of everything, through both doors: good events, copies, a forged one, and one that is poison.
async fn load(programs: &Programs, number: u32) {
    for url in [&programs.ingest.url, &programs.serve.url] {
        for part in 0..5 {
            let event = Event::payment(&format!("evt_{number}_{part}"));
            assert_eq!(event.send(url).await.status(), 200);
            assert_eq!(event.send(url).await.status(), 200);
        }
        let poison = Event::new(&format!("poison_{number}"), "not json");
        assert_eq!(poison.send(url).await.status(), 200);
        let mut forged = Event::payment("forged");
        forged.body.push(b' ');
        assert_eq!(forged.send(url).await.status(), 403);
    }
}

/// What the panels ask, with their variables set as Grafana sets them for "All".
fn panels() -> BTreeSet<String> {
    let mut expressions = BTreeSet::new();
    for dashboard in DASHBOARDS {
        let path = repository(&format!(
            "k8s/components/monitoring/dashboards/{dashboard}.json"
        ));
        let dashboard: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let mut expression = target["expr"].as_str().unwrap().to_owned();
                for (variable, value) in [
                    ("$__rate_interval", "1m"),
                    ("$namespace", ".*"),
                    ("$source", ".*"),
                    ("$pipeline", ".*"),
                ] {
                    expression = expression.replace(variable, value);
                }
                assert!(
                    !expression.contains('$'),
                    "an unknown variable in {expression}"
                );
                expressions.insert(expression);
            }
        }
    }
    assert!(expressions.len() >= 60, "{}", expressions.len());
    expressions
}

/// The series that an expression looks at: each `name{matchers}`, and where a matcher lists words, one for each
/// of them, so that a misspelled one is found.
fn selectors(expression: &str) -> Vec<String> {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let mut selectors = Vec::new();
    let mut rest = expression;
    while let Some(at) = ["spillway", "process_"]
        .iter()
        .filter_map(|name| rest.find(name))
        .min()
    {
        // Inside of a string or of a longer name it is no metric.
        let is_inside = rest[..at].ends_with(|letter: char| is_name(letter) || letter == '"');
        rest = &rest[at..];
        let end = rest
            .find(|letter: char| !is_name(letter))
            .unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let matchers = match rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            Some((matchers, after)) => {
                rest = after;
                matchers
            }
            None => "",
        };
        if is_inside {
            continue;
        }
        selectors.push(format!("{name}{{{matchers}}}"));
        for matcher in matchers.split(", ") {
            let Some((label, words)) = matcher.split_once("=~") else {
                continue;
            };
            let words: Vec<&str> = words.trim_matches('"').split('|').collect();
            if words.len() > 1 && words.iter().all(|word| word.chars().all(is_name)) {
                let one = |word| format!(r#"{name}{{{label}="{word}"}}"#);
                selectors.extend(words.into_iter().map(one));
            }
        }
    }
    selectors
}

#[test]
fn an_expression_is_taken_apart_into_what_it_looks_at() {
    let expression = r#"sum by (namespace) (rate(spillway_a_total{outcome=~"x|y", app="spillway"}[5m])) / spillway:b"#;
    let expected = [
        r#"spillway_a_total{outcome=~"x|y", app="spillway"}"#,
        r#"spillway_a_total{outcome="x"}"#,
        r#"spillway_a_total{outcome="y"}"#,
        "spillway:b{}",
    ];
    assert_eq!(selectors(expression), expected);
    assert_eq!(selectors(r#"ALERTS{app="spillway"}"#), [""; 0]);
}
