//! Every overlay of `k8s/` builds, and what it builds is what Kubernetes and its operators take.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::manifests::{python, target};
use crate::report::Ending;
use crate::tools::{answers, install, without};

/// The oldest Kubernetes these manifests are for: a native `preStop: sleep` came with it.
const OLDEST: &str = "1.30";

/// Schemas of the kinds that Kubernetes brings, pinned: a new rule should not turn an old commit red.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// Schemas of the kinds that operators bring.
const MODELS: [&str; 2] = [
    "@kubernetes-models/keda@2.0.0",
    "@kubernetes-models/prometheus-operator@6.0.0",
];

/// Kinds whose schema is published nowhere we can install it from: built, not validated.
const WITHOUT_SCHEMA: [&str; 1] = ["RabbitmqCluster"];

/// Reads a stream of YAML documents and writes a JSON array.
const TO_JSON: &str =
    "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)";

#[derive(Debug, Deserialize)]
struct Object {
    kind: String,
}

/// Builds and checks every overlay, and says so where a tool for it is missing.
pub fn check() -> Result<Ending> {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["version", "--client"]);
    // In no registry, so nothing of ours could install it.
    if !answers(kubectl) {
        return Ok(Ending::Skipped("no kubectl here".to_owned()));
    }
    let tools = match Tools::install() {
        Ok(tools) => tools,
        Err(why) => return without(&why),
    };
    let mut kinds = BTreeSet::new();
    let mut validated = BTreeSet::new();
    for overlay in overlays()? {
        let built = tools.build(&overlay)?;
        let unknown = tools.validate(&built)?;
        validated.extend(tools.validate_custom(&built)?);
        kinds.extend(unknown);
    }
    let unvalidated: Vec<_> = kinds.difference(&validated).collect();
    ensure!(
        unvalidated == WITHOUT_SCHEMA.iter().collect::<Vec<_>>(),
        "no schema was found for {unvalidated:?}; without one are {WITHOUT_SCHEMA:?}"
    );
    println!(
        "validated as custom resources: {validated:?}; built, not validated: {WITHOUT_SCHEMA:?}"
    );
    Ok(Ending::Passed)
}

fn overlays() -> Result<Vec<PathBuf>> {
    let folders = fs::read_dir("k8s/overlays").context("no k8s/overlays")?;
    let mut overlays: Vec<PathBuf> = folders
        .map(|folder| folder.map(|folder| folder.path()))
        .collect::<Result<_, _>>()?;
    overlays.sort();
    ensure!(!overlays.is_empty(), "no overlay");
    Ok(overlays)
}

/// What validates, installed once under `target/`.
struct Tools {
    python: PathBuf,
    models: PathBuf,
    out: PathBuf,
}

impl Tools {
    fn install() -> Result<Self> {
        // A folder per choice of versions: changing a pin makes a new one.
        let venv = target().join(VALIDATOR.replace("==", "-"));
        let bin = venv.join("bin");
        if !bin.join("kubernetes-validate").exists() {
            install(python(
                "python3",
                &["-m", "venv"],
                &[&venv.to_string_lossy()],
            ))?;
            let pip = ["-m", "pip", "install", "--quiet"];
            install(python(bin.join("python"), &pip, &[VALIDATOR]))?;
        }
        let models = target().join(MODELS.join("-").replace(['@', '/'], "_"));
        if !models.join("node_modules/.package-lock.json").exists() {
            fs::create_dir_all(&models)?;
            let mut npm = Command::new("npm");
            // Without progress, and with what went wrong.
            npm.args(["install", "--loglevel=error", "--no-save", "--prefix"])
                .arg(&models)
                .args(MODELS);
            install(npm)?;
        }
        let out = target().join("k8s");
        fs::create_dir_all(&out)?;
        Ok(Self {
            python: bin.join("python"),
            models,
            out: std::path::absolute(out)?,
        })
    }

    /// The overlay as one file of YAML and one of JSON; the path is theirs without an ending.
    fn build(&self, overlay: &Path) -> Result<PathBuf> {
        let name = overlay.file_name().context("an overlay has a name")?;
        let built = self.out.join(name);
        let yaml = said(Command::new("kubectl").arg("kustomize").arg(overlay))?;
        fs::write(built.with_extension("yaml"), yaml)?;
        let input = fs::File::open(built.with_extension("yaml"))?;
        let json = said(
            Command::new(&self.python)
                .args(["-c", TO_JSON])
                .stdin(input),
        )?;
        fs::write(built.with_extension("json"), json)?;
        Ok(built)
    }

    /// Validates what Kubernetes brings; the kinds it has no schema of.
    fn validate(&self, built: &Path) -> Result<BTreeSet<String>> {
        let file = built.with_extension("yaml");
        let mut validator = Command::new(self.python.with_file_name("kubernetes-validate"));
        validator.args(["--strict", "--kubernetes-version", OLDEST]);
        let told = said(validator.arg(&file))?;
        println!("{} fits Kubernetes {OLDEST}", file.display());
        let is_unknown = |kind: &String| told.contains(&format!("schema for kind {kind} "));
        let objects: Vec<Object> =
            serde_json::from_slice(&fs::read(built.with_extension("json"))?)?;
        let kinds = objects.into_iter().map(|object| object.kind);
        Ok(kinds.filter(is_unknown).collect())
    }

    /// Validates what operators bring; the kinds it had a schema for.
    fn validate_custom(&self, built: &Path) -> Result<BTreeSet<String>> {
        let script = std::path::absolute("crates/xtask/src/kubernetes.mjs")?;
        let mut node = Command::new("node");
        node.arg(script)
            .arg(built.with_extension("json"))
            .current_dir(&self.models);
        Ok(said(&mut node)?.lines().map(str::to_owned).collect())
    }
}

/// What a command writes to its standard output, where it ends well.
fn said(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!(
            "{command:?}: {}\n{}{told}",
            output.status,
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
