//! `amesh translate`

use std::collections::BTreeMap;

use insta::assert_snapshot;
use serde_json::Value;

use crate::{GATEWAY, amesh};

#[test]
fn what_the_terminal_shows() {
    let run = amesh(&["translate", GATEWAY]);
    assert_eq!(run.status, Some(0));
    assert_snapshot!("translate-stdout", run.stdout);
    assert_snapshot!("translate-stderr", run.stderr);
}

#[test]
fn a_permitted_rule_is_a_warning_and_traffic_goes_on() {
    let refused = findings(&[])
        .into_iter()
        .find(|finding| finding["outcome"] == "fails-closed");
    let refused = refused.expect("something that fails closed");
    let rule = refused["rule"].as_str().expect("a name");
    let strict = amesh(&["translate", GATEWAY]);
    assert!(strict.stderr.contains(&format!("error[{rule}]")), "{}", strict.stderr);
    assert!(strict.stderr.contains(&format!("--permit {rule}")), "{}", strict.stderr);
    let run = amesh(&["translate", GATEWAY, "--permit", rule]);
    assert_eq!(run.status, Some(0));
    assert!(run.stderr.contains(&format!("warning[{rule}]")), "{}", run.stderr);
    assert!(!run.stderr.contains(&format!("error[{rule}]")), "{}", run.stderr);
    assert_ne!(run.stdout, strict.stdout);
}

#[test]
fn quiet_says_nothing_and_writes_the_same() {
    let run = amesh(&["translate", GATEWAY, "--quiet"]);
    assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(run.stdout, amesh(&["translate", GATEWAY]).stdout);
}

#[test]
fn verbose_shows_every_place() {
    let short = amesh(&["translate", GATEWAY]).stderr;
    let long = amesh(&["translate", GATEWAY, "-v"]).stderr;
    assert!(short.contains("more; -v shows all"), "{short}");
    assert!(!long.contains("-v shows all"), "{long}");
    let findings = findings(&[]);
    let places = long.lines().filter(|line| line.trim_start().starts_with("at ")).count();
    let with_path = findings.iter().filter(|finding| finding["path"] != "").count();
    assert_eq!(places, with_path);
}

#[test]
fn a_rule_that_asks_for_nothing_gives_no_help() {
    let run = amesh(&["translate", "../fixtures/http_filter/unknown_optional.in.yaml"]);
    let (_, rule) = run.stderr.split_once("[http-filter-optional]").expect("the rule");
    let (rule, _) = rule.split_once("\n\n").expect("its end");
    assert!(rule.contains("traffic: ") && !rule.contains("help"), "{rule}");
    assert!(run.stderr.contains("help: "), "{}", run.stderr);
}

/// The findings as a program reads them.
fn findings(more: &[&str]) -> Vec<Value> {
    let run = amesh(&[&["translate", GATEWAY, "--findings", "json"], more].concat());
    let report: Value = serde_json::from_str(&run.stderr).expect("JSON");
    report["findings"].as_array().expect("a list").clone()
}

#[test]
fn findings_as_json_hold_what_a_program_needs() {
    let run = amesh(&["translate", GATEWAY, "--findings", "json"]);
    let report: Value = serde_json::from_str(&run.stderr).expect("JSON");
    let list = report["findings"].as_array().expect("a list");
    assert!(!list.is_empty());
    for finding in list {
        for field in ["rule", "outcome", "resource", "path", "permitted"] {
            assert!(finding.get(field).is_some(), "{finding} has no {field}");
        }
        let rule = finding["rule"].as_str().and_then(amesh_core::coverage::rule);
        assert!(
            rule.is_some(),
            "{finding} has a rule that `amesh explain` does not know"
        );
    }
    let counted = ["fails-closed", "permitted", "left-out", "approximated", "ignored"];
    let sum: u64 = counted.iter().filter_map(|name| report["summary"][name].as_u64()).sum();
    assert_eq!(sum, list.len() as u64);
}

/// With every number a floating one, as Lua has them: YAML says `10` where JSON says `10.0`.
fn with_one_kind_of_number(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(list) => list.into_iter().map(with_one_kind_of_number).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (name, with_one_kind_of_number(value)))
            .collect(),
        other => other,
    }
}

#[test]
fn every_format_holds_the_same_objects() {
    let json: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&amesh(&["translate", GATEWAY, "-q", "--format", "json"]).stdout).expect("JSON");
    let yaml: Value = serde_saphyr::from_str(&amesh(&["translate", GATEWAY, "-q"]).stdout).expect("YAML");
    let plain = serde_json::to_value(&json).expect("JSON");
    assert_eq!(with_one_kind_of_number(yaml), with_one_kind_of_number(plain));
    let mut texts = BTreeMap::new();
    for (kind, list) in &json {
        for object in list {
            let id = object["id"].as_str().expect("an id");
            texts.insert(format!("/{kind}/{id}"), object.clone());
        }
    }
    assert!(texts.len() > 3, "{texts:?}");
    let shdict: BTreeMap<String, String> =
        serde_json::from_str(&amesh(&["translate", GATEWAY, "-q", "--format", "shdict"]).stdout).expect("JSON");
    let parse = |text: &String| serde_json::from_str::<Value>(text).expect("a value is JSON");
    let shdict: BTreeMap<String, Value> = shdict.iter().map(|(key, text)| (key.clone(), parse(text))).collect();
    assert_eq!(shdict, texts);
}

#[test]
fn deny_counts_what_is_at_or_above_the_outcome() {
    let status = |args: &[&str]| amesh(&[&["translate", GATEWAY, "-q"], args].concat()).status;
    assert_eq!(status(&["--deny", "ignored"]), Some(1));
    assert_eq!(status(&["--deny", "fails-closed"]), Some(1));
    // What the operator permitted does not count.
    let permitted: Vec<String> = findings(&[])
        .iter()
        .filter(|finding| finding["outcome"] == "fails-closed")
        .map(|finding| format!("--permit={}", finding["rule"].as_str().expect("a name")))
        .collect();
    let mut args: Vec<&str> = permitted.iter().map(String::as_str).collect();
    args.extend(["--deny", "fails-closed"]);
    assert_eq!(status(&args), Some(0));
}

#[test]
fn sarif_refers_to_its_rules_and_to_the_input() {
    let run = amesh(&["translate", GATEWAY, "--findings", "sarif"]);
    let log: Value = serde_json::from_str(&run.stderr).expect("JSON");
    assert_eq!(log["version"], "2.1.0");
    let sarif = &log["runs"][0];
    let rules = sarif["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = sarif["results"].as_array().expect("results");
    assert_eq!(results.len(), findings(&[]).len());
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        let location = &result["locations"][0];
        assert_eq!(location["physicalLocation"]["artifactLocation"]["uri"], GATEWAY);
        let name = location["logicalLocations"][0]["fullyQualifiedName"]
            .as_str()
            .expect("a name");
        assert!(name.contains('"'), "{name}");
        let level = result["level"].as_str().expect("a level");
        assert!(["error", "warning", "note"].contains(&level), "{level}");
    }
}
