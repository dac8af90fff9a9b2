//! Every object is one that APISIX itself accepts.
//!
//! `AMESH_APISIX_SCHEMA` names a file with what a running APISIX answers to `GET /v1/schema` on its control API.

use amesh_core::apisix::Kind;
use amesh_core::{Arrival, Options, Target, dump};
use jsonschema::Validator;
use serde_json::Value;

use crate::fixture::{self, Given};

struct Schemas {
    upstream: Validator,
    route: Validator,
    plugins: serde_json::Map<String, Value>,
}

fn schemas() -> Option<Schemas> {
    let Some(path) = std::env::var_os("AMESH_APISIX_SCHEMA") else {
        println!("skipped: AMESH_APISIX_SCHEMA does not name APISIX's schema (`GET /v1/schema` of its control API)");
        return None;
    };
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let all: Value = serde_json::from_slice(&text).unwrap();
    let compile = |schema: &Value| jsonschema::validator_for(schema).unwrap();
    Some(Schemas {
        upstream: compile(&all["main"]["upstream"]),
        route: compile(&all["main"]["route"]),
        plugins: all["plugins"].as_object().unwrap().clone(),
    })
}

impl Schemas {
    fn check(&self, name: &str, given: &Given, wrong: &mut Vec<String>) {
        for (kind, object) in &given.objects {
            let validator = match kind {
                Kind::Upstreams => &self.upstream,
                Kind::Routes => &self.route,
            };
            let mut complain = |what: &str, error: &jsonschema::ValidationError<'_>| {
                wrong.push(format!(
                    "{name}: {kind} {} {what}: {} at {}",
                    object["id"],
                    error,
                    error.instance_path()
                ));
            };
            for error in validator.iter_errors(object) {
                complain("", &error);
            }
            for (plugin, config) in object["plugins"].as_object().into_iter().flatten() {
                // Those of our own read their configuration themselves; the Lua package's tests give them all of these.
                if plugin.starts_with("amesh-") {
                    continue;
                }
                let schema = self
                    .plugins
                    .get(plugin)
                    .unwrap_or_else(|| panic!("APISIX has no plugin {plugin}"));
                for error in jsonschema::validator_for(&schema["schema"])
                    .unwrap()
                    .iter_errors(config)
                {
                    complain(plugin, &error);
                }
            }
        }
    }
}

#[test]
fn apisix_accepts_every_object() {
    let Some(schemas) = schemas() else { return };
    let mut wrong = Vec::new();
    for fixture in fixture::features() {
        for target in fixture::TARGETS {
            schemas.check(
                &fixture.path.display().to_string(),
                &fixture::outcome(&fixture, target),
                &mut wrong,
            );
        }
    }
    for (name, bytes) in fixture::scenarios() {
        let resources = dump::read(&bytes).unwrap().resources;
        for (target, arrival) in [
            (Target::Native, None),
            (Target::Native, Some(Arrival::Host)),
            (Target::Amesh, None),
        ] {
            let mut options = Options::default();
            options.target = target;
            options.arrival = arrival;
            schemas.check(&name, &fixture::translated(&resources, &options), &mut wrong);
            options.permitted = amesh_core::coverage::rules()
                .iter()
                .map(|rule| rule.name.to_owned())
                .collect();
            schemas.check(
                &format!("{name} with all rules permitted"),
                &fixture::translated(&resources, &options),
                &mut wrong,
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} objects are refused:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
