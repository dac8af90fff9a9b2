//! A scenario of the recordings as a live mesh on this machine: a real istiod that serves its YAML, and two APISIX that
//! follow it as the same proxy, one with its own `config_xds` and one with the Lua package. Both answer the same.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, TcpListener};

use crate::apisix::{self, Apisix};
use crate::client::Client;
use crate::istiod::{self, Istiod, scenario, wait_until};
use crate::workload;
use crate::{Proxy, package, stock};

/// Requests to something that is drawn: shares are then off by less than 15 of a hundred.
const DRAWS: u32 = 200;
const OFF_BY: u32 = 15;

/// More answers than a change that is only partly there gives by chance.
const IN_A_ROW: usize = 30;

/// Where a pod of the recordings is on this machine.
const RECORDED: &str = "10.1.0.";
const HERE: &str = "127.0.1.";

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    /// Further headers, each with its end.
    pub(crate) headers: &'static str,
}

/// A request without further headers.
pub(crate) const fn to(host: &'static str, path: &'static str) -> Request {
    with(host, path, "")
}

pub(crate) const fn with(host: &'static str, path: &'static str, headers: &'static str) -> Request {
    Request { host, path, headers }
}

/// What both have to answer alike.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// The workload that answered, and the path that it was asked for.
    pub(crate) workload: Option<(String, String)>,
}

/// The mesh, and who follows it.
pub(crate) struct Live {
    name: &'static str,
    istiod: Istiod,
    apisixes: [Apisix; 2],
    _folder: tempfile::TempDir,
}

/// The names and addresses of the pods in a file.
fn pods(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n---\n").filter_map(|document| {
        let value = |name: &str| document.lines().find_map(|line| line.trim_start().strip_prefix(name));
        let name = value("name: ")?.strip_suffix("-0")?;
        Some((name, value("podIP: ")?.trim()))
    })
}

/// A port that is free on some addresses, listened at on each.
fn listeners(addresses: &[IpAddr]) -> (u16, Vec<TcpListener>) {
    loop {
        let first = TcpListener::bind((addresses[0], 0)).expect("a port");
        let port = first.local_addr().expect("an address").port();
        let others = addresses[1..]
            .iter()
            .map(|address| TcpListener::bind((*address, port)))
            .collect::<Result<Vec<_>, _>>();
        if let Ok(others) = others {
            return (port, [first].into_iter().chain(others).collect());
        }
    }
}

/// The recorded YAML, with pods of this machine that have no sidecar: nothing here speaks mutual TLS.
fn local(text: &str, port: u16, gateway: u16) -> String {
    let lines = text
        .split_inclusive('\n')
        .filter(|line| !line.contains("security.istio.io/tlsMode"));
    lines
        .collect::<String>()
        .replace(RECORDED, HERE)
        .replace("port: 9080}\n", &format!("port: 9080, targetPort: {port}}}\n"))
        .replace("targetPort: 8080}", &format!("targetPort: {gateway}}}"))
}

impl Live {
    /// Starts it. `moves` are further pods, which the YAML does not name yet. None where a program is missing.
    pub(crate) fn start(name: &'static str, proxy: &Proxy, moves: &[(&str, &str)]) -> Option<Self> {
        let (harness, home) = (istiod::harness()?, apisix::home()?);
        let config = scenario(name).join("config");
        let texts: BTreeMap<String, String> = fs::read_dir(config)
            .expect("a folder")
            .map(|entry| {
                let path = entry.expect("a file").path();
                let name = path.file_name().expect("a name").to_string_lossy().into_owned();
                (name, fs::read_to_string(path).expect("a text"))
            })
            .collect();
        let named: Vec<(String, IpAddr)> = texts
            .values()
            .flat_map(|text| pods(text))
            .filter(|(_, address)| address.starts_with(RECORDED))
            .map(|(name, address)| (name, address.replace(RECORDED, HERE)))
            .chain(moves.iter().map(|(name, address)| (*name, (*address).to_owned())))
            .map(|(name, address)| (name.to_owned(), address.parse().expect("an address")))
            .collect();
        let addresses: Vec<IpAddr> = named.iter().map(|(_, address)| *address).collect();
        let (port, workloads) = listeners(&addresses);
        for ((name, _), listener) in named.iter().zip(workloads) {
            let name = name.clone();
            workload::serve(listener, move |path| format!("{name}\n{path}"));
        }

        // Both take the port that the gateway's listener has.
        let homes = ["127.0.2.1", "127.0.2.2"];
        let (gateway, _) = listeners(&homes.map(|home| home.parse().expect("an address")));
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in &texts {
            fs::write(folder.path().join(file), local(text, port, gateway)).expect("a file");
        }
        let istiod = Istiod::start(&harness, folder.path(), &["--log", "error"]);
        let start = |config: &str, at: &str| Apisix::start_at(&home, &[("config.yaml", config)], at, &[gateway]);
        let apisixes = [
            start(&stock(&istiod, proxy), homes[0]),
            start(&package(&istiod, proxy, &folder.path().join("wake")), homes[1]),
        ];
        Some(Self {
            name,
            istiod,
            apisixes,
            _folder: folder,
        })
    }

    /// Exchanges a text of a file, as an operator does.
    pub(crate) fn edit(&self, file: &str, from: &str, into: &str) {
        let text = fs::read_to_string(self.istiod.config().join(file)).expect("a file");
        assert!(text.contains(from), "{file} has {from}: {text}");
        println!("{}: {file}: {from:?} is now {into:?}", self.name);
        self.istiod.write(file, &text.replacen(from, into, 1)).expect("a file");
    }

    /// Adds a file.
    pub(crate) fn add(&self, file: &str, text: &str) {
        println!("{}: {file} is new: {text:?}", self.name);
        self.istiod.write(file, text).expect("a file");
    }

    /// Deletes a file.
    pub(crate) fn remove(&self, file: &str) {
        println!("{}: {file} is gone", self.name);
        self.istiod.remove(file).expect("a file");
    }

    /// What both answer, APISIX's own provider first. Each request has a connection of its own, so any worker answers.
    pub(crate) fn ask(&self, request: Request) -> [Answer; 2] {
        self.apisixes.each_ref().map(|apisix| {
            let Request { host, path, headers } = request;
            let wire = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
            let response = Client::new(apisix.address()).send("GET", wire.as_bytes());
            let response = response.unwrap_or_else(|error| panic!("{error}: {request:?}"));
            let location = response.header("location").map(str::to_owned);
            let text = String::from_utf8(response.body).expect("a text");
            let workload = text.split_once('\n').filter(|_| response.status == 200);
            Answer {
                status: response.status,
                location,
                workload: workload.map(|(name, path)| (name.to_owned(), path.to_owned())),
            }
        })
    }

    /// Waits until both answer that status, a workload's name or nothing, and alike in everything else, several times in a
    /// row.
    pub(crate) fn answers(&self, request: Request, status: u16, workload: &str) -> Answer {
        let expected = |answer: &Answer| {
            let name = answer.workload.as_ref().map_or("", |(name, _)| name);
            answer.status == status && name == workload
        };
        let mut last = self.ask(request);
        let holds = || {
            (0..IN_A_ROW).all(|_| {
                last = self.ask(request);
                expected(&last[0]) && last[0] == last[1]
            })
        };
        assert!(wait_until(holds), "{request:?} is not {status} {workload}: {last:?}");
        let [answer, _] = last;
        println!("{}: {request:?} -> {answer:?}", self.name);
        answer
    }

    /// Waits until both ask these workloads and no others. Of idle ones APISIX's `least_conn`, what Istio's default becomes,
    /// does not ask all.
    pub(crate) fn among(&self, request: Request, workloads: &[&str]) {
        let mut last = Vec::new();
        let holds = || {
            last = (0..IN_A_ROW).flat_map(|_| self.ask(request)).collect();
            last.iter().all(|answer| {
                let name = answer.workload.as_ref().map(|(name, _)| name.as_str());
                answer.status == 200 && name.is_some_and(|name| workloads.contains(&name))
            })
        };
        assert!(wait_until(holds), "{request:?} is not of {workloads:?}: {last:?}");
        println!("{}: {request:?} -> one of {workloads:?}", self.name);
    }

    /// Waits until both draw among workloads, with these shares in hundredths.
    pub(crate) fn draws(&self, request: Request, shares: &[(&str, u32)]) {
        let count = || {
            let mut counts: [BTreeMap<String, u32>; 2] = Default::default();
            for _ in 0..DRAWS {
                for (answer, counts) in self.ask(request).into_iter().zip(&mut counts) {
                    let name = answer
                        .workload
                        .map_or_else(|| format!("status {}", answer.status), |(name, _)| name);
                    *counts.entry(name).or_default() += 1;
                }
            }
            counts
        };
        let meant = |counts: &BTreeMap<String, u32>| {
            let named = |name: &String| shares.iter().any(|(share, _)| share == name);
            let near = |(name, share): &(&str, u32)| {
                let seen = counts.get(*name).copied().unwrap_or_default() * 100 / DRAWS;
                seen > 0 && seen.abs_diff(*share) <= OFF_BY
            };
            counts.keys().all(named) && shares.iter().all(near)
        };
        let mut last = Default::default();
        let holds = || {
            last = count();
            last.iter().all(meant)
        };
        assert!(wait_until(holds), "{request:?} is not {shares:?}: {last:?}");
        println!("{}: {request:?} -> of {DRAWS} each {last:?}", self.name);
    }

    /// Whatever both answer to these, it is the same.
    pub(crate) fn same(&self, requests: &[Request]) {
        for request in requests {
            let alike = || {
                let [stock, package] = self.ask(*request);
                stock == package
            };
            assert!(wait_until(alike), "{request:?} differs: {:?}", self.ask(*request));
            println!("{}: {request:?} -> {:?}", self.name, self.ask(*request)[0]);
        }
    }
}
