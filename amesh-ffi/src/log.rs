//! What the library writes into nginx's error log: one line for each event, with fields.

use std::collections::BTreeMap;

use amesh_core::{Finding, Outcome, Updated};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

/// How many findings of an update are written one by one. Of more, there is a line for each rule.
const SHOWN: usize = 20;

/// From now on events of Amesh are written to the standard error, which nginx leads into its error log. What other libraries
/// have to say is written when it is a warning.
pub(crate) fn start(level: LevelFilter) {
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        // Its name is `amesh`: that tells these lines from nginx's own.
        .with_thread_names(true)
        .with_writer(std::io::stderr);
    let wanted = Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("xds", level)
        .with_target("amesh", level);
    // A process has one. A second call in it keeps the first.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines).with(wanted));
}

/// Writes which findings have come and which are gone, each once.
pub(crate) fn findings(updated: &Updated) {
    tell("finding", &updated.come);
    tell("finding gone", &updated.gone);
}

/// An event at a level that is only known when it happens.
macro_rules! at {
    ($outcome:expr, $($event:tt)*) => {
        match $outcome {
            Outcome::Ignored => tracing::debug!($($event)*),
            Outcome::Approximated => tracing::info!($($event)*),
            Outcome::LeftOut | Outcome::FailsClosed => tracing::warn!($($event)*),
        }
    };
}

fn tell(what: &str, findings: &[Finding]) {
    if findings.len() <= SHOWN {
        for finding in findings {
            let Finding {
                rule,
                outcome,
                resource,
                path,
                detail,
                permitted,
            } = finding;
            let detail = detail.as_deref().map(tracing::field::display);
            at!(outcome, rule = rule.name, %outcome, %resource, path, detail, permitted, "{what}");
        }
        return;
    }
    let mut rules: BTreeMap<&str, (usize, &Finding)> = BTreeMap::new();
    for finding in findings {
        rules.entry(finding.rule.name).or_insert((0, finding)).0 += 1;
    }
    for (rule, (count, first)) in rules {
        let Finding { outcome, resource, .. } = first;
        at!(outcome, rule, %outcome, count, %resource, "{what}");
    }
}
