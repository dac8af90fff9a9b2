//! `libxds.so`: the library that Apache APISIX loads, which follows a control plane and writes what it says into APISIX's
//! shared memory.
//!
//! Its functions for C are `initial`, which APISIX's own `config_xds` calls, `amesh_start`, which Amesh's Lua package calls,
//! and `amesh_version`. What it can be told is in `docs/settings.md`, and what it writes in `docs/dictionary.md`.
//!
//! The library is a guest in nginx's process: it has a thread of its own with all signals blocked, stops every panic, never
//! ends the process, and stops writing before nginx takes its memory down.

mod agent;
mod clock;
mod hold;
mod log;
mod publish;
mod runtime;
mod settings;
mod shdict;
mod status;
mod wake;
mod zone;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::level_filters::LevelFilter;

pub use settings::document as settings_document;
pub use shdict::{amesh_start, amesh_version, initial};

use publish::Publisher;
use settings::Settings;
use shdict::SharedDictionary;

/// What a call to start did.
enum Started {
    /// It runs now.
    Now,
    /// It was running.
    Before,
}

/// Starts the library, once in a process. `close_with_nginx` has nginx stop it in time, and tells whether it will.
fn start(
    config: SharedDictionary,
    version: SharedDictionary,
    json: Option<&[u8]>,
    close_with_nginx: fn() -> bool,
) -> Result<Started, String> {
    static RUNNING: Mutex<bool> = Mutex::new(false);
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if *running {
        return Ok(Started::Before);
    }
    let variables: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let settings = Settings::read(json, variables.clone());
    log::start(
        settings
            .as_ref()
            .map_or(LevelFilter::INFO, |settings| settings.log_level),
    );
    for (variable, near) in settings::misspelt(&variables) {
        tracing::warn!(variable, "this variable means nothing: did you mean {near}?");
    }
    let started = settings.and_then(|settings| Ok((settings.client()?, settings)));
    let started = started.map_err(|error| error.to_string()).and_then(|(client, settings)| {
        if !close_with_nginx() {
            tracing::warn!("nginx cannot be asked to stop the library in time: a dictionary may be left half written at its end");
        }
        runtime::spawn(config, version, client, settings).map_err(|error| format!("no thread can be started: {error}"))
    });
    match started {
        Ok(()) => {
            *running = true;
            Ok(Started::Now)
        }
        Err(error) => {
            tracing::error!(error, "the library does not start");
            if json.is_none() {
                let_workers_start(config, version);
            }
            Err(error)
        }
    }
}

/// The workers of `config_xds` wait for a first version for ever, and answer nothing meanwhile.
fn let_workers_start(config: SharedDictionary, version: SharedDictionary) {
    let published = Publisher::adopt(config, version, &clock::owner()).and_then(|mut publisher| {
        if publisher.announced()?.is_none() {
            publisher.publish(clock::now())?;
        }
        Ok(())
    });
    if let Err(error) = published {
        tracing::error!(%error, "nothing can be written");
    }
}
