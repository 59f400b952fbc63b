//! The environment over the file over the defaults, key by key, so that every mistake is found at once and each
//! value is known by where it comes from.

use super::load::Problem;
use super::{Config, HmacConfig, PipelineConfig, SourceConfig};
use confique::meta::{Field, FieldKind, Meta};
use confique::{Config as _, Layer as _};
use std::collections::BTreeMap;
use toml::{Table, Value};

type Layer = <Config as confique::Config>::Layer;

/// How alike a wrong key and a right one have to be for us to ask whether it was meant.
const ALIKE: f64 = 0.8;

/// What stands in the file and in the environment, and is right.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: Table,
    /// Of the keys in `values`, those whose value is a variable's.
    variables: BTreeMap<String, &'static str>,
    pub(super) problems: Vec<Problem>,
}

/// Tables whose names an operator makes up, and what is in each.
pub(super) const MAPS: [(&str, &Meta); 2] = [
    ("sources", &SourceConfig::META),
    ("pipelines", &PipelineConfig::META),
];

impl Layers {
    /// Reads both; `variable` is the environment.
    pub(super) fn read(file: &str, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut layers = Self::default();
        match file.parse::<Table>() {
            Ok(table) => layers.take_table(&mut Vec::new(), &table, &Config::META),
            Err(why) => layers.problem("the file", unparsable(file, &why)),
        }
        layers.take_variables(&mut Vec::new(), &Config::META, &variable);
        layers
    }

    /// The configuration, without what was wrong.
    pub(super) fn config(&self) -> Result<Config, String> {
        let layer: Layer = Value::Table(self.values.clone())
            .try_into()
            .map_err(|why: toml::de::Error| why.message().to_owned())?;
        Config::from_layer(layer.with_fallback(Layer::default_values()))
            .map_err(|why| why.to_string())
    }

    /// What was set, by the file or by a variable.
    pub(super) fn get(&self, key: &str) -> Option<(&Value, Option<&'static str>)> {
        let mut parts = key.split('.');
        let first = self.values.get(parts.next()?)?;
        let value = parts.try_fold(first, |value, part| value.get(part))?;
        Some((value, self.variables.get(key).copied()))
    }

    /// The names in a table such as `sources`.
    pub(super) fn names(&self, map: &str) -> Vec<String> {
        let table = self.values.get(map).and_then(Value::as_table);
        table.map_or_else(Vec::new, |table| table.keys().cloned().collect())
    }

    fn take_table(&mut self, path: &mut Vec<String>, table: &Table, meta: &'static Meta) {
        for (key, value) in table {
            path.push(key.clone());
            match meta.fields.iter().find(|field| field.name == key) {
                Some(field) => self.take_field(path, field, value),
                None => self.problem(&path.join("."), unknown(key, meta)),
            }
            path.pop();
        }
    }

    fn take_field(&mut self, path: &mut Vec<String>, field: &'static Field, value: &Value) {
        let map = MAPS
            .iter()
            .find(|(name, _)| path.len() == 1 && *name == field.name);
        match (&field.kind, map, value) {
            (FieldKind::Nested { meta }, _, Value::Table(table)) => {
                self.take_table(path, table, meta)
            }
            (FieldKind::Leaf { .. }, Some((_, meta)), Value::Table(entries)) => {
                self.take_entries(path, entries, meta);
            }
            (FieldKind::Nested { .. }, _, _) | (FieldKind::Leaf { .. }, Some(_), _) => {
                let rule = format!("is a table: [{}]", path.join("."));
                self.problem(&path.join("."), rule);
            }
            (FieldKind::Leaf { .. }, None, value) => {
                self.take_leaf(path, value);
            }
        }
    }

    /// `[sources.NAME]` and its like.
    fn take_entries(&mut self, path: &mut Vec<String>, entries: &Table, meta: &'static Meta) {
        for (name, entry) in entries {
            path.push(name.clone());
            // Even an empty table is an entry, and its name may be wrong.
            if self.take_leaf(path, &Value::Table(Table::new())) {
                match entry.as_table() {
                    Some(table) => self.take_table(path, table, meta),
                    None => {
                        self.problem(&path.join("."), format!("is a table: [{}]", path.join(".")))
                    }
                }
            }
            path.pop();
        }
    }

    /// Whether a value is right on its own.
    fn take_leaf(&mut self, path: &[String], value: &Value) -> bool {
        let key = path.join(".");
        if let Some(rule) = inline_secret(path, value) {
            self.problem(&key, rule);
            return false;
        }
        if path.last().is_some_and(|name| name == "hmac")
            && let Some(table) = value.as_table()
        {
            for name in table.keys() {
                if !HmacConfig::META
                    .fields
                    .iter()
                    .any(|field| field.name == name)
                {
                    self.problem(&format!("{key}.{name}"), unknown(name, &HmacConfig::META));
                    return false;
                }
            }
        }
        match alone(path, value) {
            Ok(()) => {
                insert(&mut self.values, path, value.clone());
                true
            }
            Err(why) => {
                self.problem(&key, why);
                false
            }
        }
    }

    fn take_variables(
        &mut self,
        path: &mut Vec<String>,
        meta: &'static Meta,
        variable: &impl Fn(&str) -> Option<String>,
    ) {
        for field in meta.fields {
            path.push(field.name.to_owned());
            match field.kind {
                FieldKind::Nested { meta } => self.take_variables(path, meta, variable),
                FieldKind::Leaf {
                    env: Some(name), ..
                } => {
                    if let Some(text) = variable(name) {
                        self.take_variable(path, name, &text);
                    }
                }
                FieldKind::Leaf { env: None, .. } => {}
            }
            path.pop();
        }
    }

    fn take_variable(&mut self, path: &[String], name: &'static str, text: &str) {
        let readings = readings(text);
        let fits = |value: &&Value| alone(path, value).is_ok();
        if let Some(value) = readings.iter().find(fits) {
            insert(&mut self.values, path, value.clone());
            self.variables.insert(path.join("."), name);
        } else if !text.is_empty() {
            let why = alone(path, &readings[0]).err().unwrap_or_default();
            self.problem(
                name,
                format!("{why} (it is {} in the file)", path.join(".")),
            );
        }
    }

    fn problem(&mut self, key: &str, rule: impl Into<String>) {
        self.problems.push(Problem::new(key, rule));
    }
}

/// What a variable's text may be in the file: text, a number, true or false.
fn readings(text: &str) -> Vec<Value> {
    let trimmed = text.trim();
    let truth = match trimmed {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    };
    let mut readings = vec![Value::String(text.to_owned())];
    readings.extend(trimmed.parse().ok().map(Value::Integer));
    readings.extend(truth.map(Value::Boolean));
    readings
}

/// Reads a configuration of this one value.
fn alone(path: &[String], value: &Value) -> Result<(), String> {
    let mut table = Table::new();
    insert(&mut table, path, value.clone());
    let layer: Result<Layer, toml::de::Error> = Value::Table(table).try_into();
    // The library adds the table it was reading, on lines of its own.
    let first_line =
        |why: toml::de::Error| why.message().lines().next().unwrap_or_default().to_owned();
    layer.map(drop).map_err(first_line)
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => drop(table.insert(key.clone(), value)),
        [key, rest @ ..] => {
            let below = table
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(below) = below {
                insert(below, rest, value);
            }
        }
    }
}

/// (I9) What stands where a reference should be may be somebody's secret: the library would repeat it.
fn inline_secret(path: &[String], value: &Value) -> Option<String> {
    let is_secrets = matches!(path, [map, _, key] if map == "sources" && key == "secrets");
    let is_list = value
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_str));
    (is_secrets && !is_list).then(|| {
        "is a list of references, such as [\"env:STRIPE_SECRET\"], never a secret".to_owned()
    })
}

fn unknown(key: &str, meta: &Meta) -> String {
    let names = meta.fields.iter().map(|field| field.name);
    let likeness = |name: &str| strsim::jaro_winkler(key, name);
    let nearest = names
        .clone()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|name| likeness(name) >= ALIKE) {
        Some(name) => format!("there is no such key; did you mean {name}?"),
        None => format!(
            "there is no such key here, but {}",
            names.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// (I9) Where, and not what: the line may have a secret in it.
fn unparsable(file: &str, why: &toml::de::Error) -> String {
    let at = why.span().map_or(0, |span| span.start);
    let line = file
        .as_bytes()
        .iter()
        .take(at)
        .filter(|byte| **byte == b'\n')
        .count()
        + 1;
    let rule = why.message().lines().next().unwrap_or_default();
    // The library quotes what it cannot read.
    let rule = rule.split(['`', '"']).next().unwrap_or_default().trim_end();
    format!("is not TOML: line {line}: {rule}")
}
