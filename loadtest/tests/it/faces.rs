//! What strangers depend on: the help, and the JSON.

use crate::harness::Site;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::Program;

#[tokio::test]
async fn the_help_is_as_it_was_read() {
    let mut running = Program::new("spillway-loadtest")
        .arg("--help")
        .spawn()
        .unwrap();
    assert!(
        running
            .wait(Duration::from_secs(30))
            .await
            .unwrap()
            .success()
    );
    insta::assert_snapshot!(running.complete_output().await);
}

/// The path of every field, with the kind of its value.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                fields(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(items) => {
            for item in items {
                fields(item, &format!("{path}[]"), found);
            }
        }
        Value::Null => drop(found.insert(format!("{path}: null"))),
        Value::Bool(_) => drop(found.insert(format!("{path}: bool"))),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        Value::String(_) => drop(found.insert(format!("{path}: string"))),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_has_the_fields_the_readme_describes() {
    let site = Site::new().await;
    let ramp = [
        "--profile",
        "ramp",
        "--steps",
        "2",
        "--duration",
        "3s",
        "--rate",
        "100",
    ];
    let more = [
        "--metrics",
        &site.node.admin,
        "--json",
        "--connections",
        "8",
    ];
    let tested = site.test(&[&ramp[..], &more[..]].concat()).await;
    assert_eq!(tested.code, Some(0), "{}", tested.output);
    let mut found = BTreeSet::new();
    fields(&tested.json(), "", &mut found);
    // Whether a second had an acknowledgement, or a page was read in it, is chance.
    let is_chance = |field: &String| field.starts_with(".timeline[]") && field.ends_with(": null");
    let found: Vec<String> = found
        .into_iter()
        .filter(|field| !is_chance(field))
        .collect();
    insta::assert_snapshot!(found.join("\n"));
}
