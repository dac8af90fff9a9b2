//! The library beside nginx's own life: started twice, reloaded, ended, and started with what is no good.

use std::time::Duration;

use crate::mesh::Mesh;
use crate::nginx::{Nginx, Setup};
use crate::{NODE, provided, stock};

#[test]
fn a_second_call_in_a_process_does_nothing() {
    let mesh = Mesh::start(1);
    let Some(nginx) = provided(mesh.server(), "") else {
        return;
    };
    assert_eq!(nginx.get("/started"), "0 ");
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let version = nginx.version();
    assert_eq!(nginx.get("/again"), "1 ");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(nginx.version(), version);
    assert_eq!(nginx.log().matches("following").count(), 1, "{}", nginx.log());
}

#[test]
fn the_librarys_thread_takes_no_signals() {
    let mesh = Mesh::start(1);
    let Some(nginx) = provided(mesh.server(), "") else {
        return;
    };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let tasks = std::fs::read_dir(format!("/proc/{}/task", nginx.agent())).expect("threads");
    let mut masks = Vec::new();
    for task in tasks {
        let folder = task.expect("a thread").path();
        let read = |name| std::fs::read_to_string(folder.join(name)).expect("what the kernel says");
        if read("comm").trim() == "amesh" {
            let status = read("status");
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            masks.push(u64::from_str_radix(blocked.expect("a mask").trim(), 16).expect("a mask"));
        }
    }
    // Of KILL and STOP, and of two that the C library keeps for itself, nobody can say so.
    let all = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
    assert!(
        !masks.is_empty() && masks.iter().all(|mask| mask & all == all),
        "{masks:x?}"
    );
}

#[test]
fn settings_that_are_no_good_are_said() {
    let Some(nginx) = provided("127.0.0.1:1", r#", "wake_sokcet": "/x""#) else {
        return;
    };
    let expected = "-1 there is no setting \"wake_sokcet\": did you mean \"wake_socket\"?";
    assert_eq!(nginx.get("/started"), expected);
    assert!(nginx.log().contains("wake_sokcet"), "{}", nginx.log());
    assert_eq!(nginx.version(), None);
}

#[test]
fn workers_of_config_xds_do_not_wait_for_a_library_that_cannot_start() {
    let variables = [("AMESH_SERVER", "nowhere"), ("AMESH_NODE", NODE)];
    let setup = Setup {
        size: "1m",
        settings: None,
        variables: &variables,
    };
    let Some(nginx) = Nginx::start(&setup) else { return };
    assert!(nginx.version().is_some());
    assert_eq!(nginx.zone("xds-config").len(), 1);
    assert!(nginx.log().contains("has no port"), "{}", nginx.log());
}

#[test]
fn without_a_control_plane_apisix_starts_after_the_stated_time() {
    let Some(nginx) = provided("127.0.0.1:1", r#", "wait": 1"#) else {
        return;
    };
    assert_eq!(nginx.version(), None);
    nginx.wait_until("a version", || nginx.version().is_some());
    assert_eq!(nginx.zone("xds-config").len(), 1);
    nginx.wait_until("the reason", || nginx.status()["error"].is_string());
}

#[test]
fn what_is_there_stays_without_a_control_plane_and_without_an_agent() {
    let mesh = Mesh::start(5);
    let Some(nginx) = provided(mesh.server(), r#", "wait": 1"#) else {
        return;
    };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    let (objects, version, agent) = (nginx.objects(), nginx.version(), nginx.agent());
    assert!(objects.len() >= 10);
    drop(mesh);
    nginx.signal("KILL", Some(agent));
    nginx.wait_until("a new agent", || nginx.agent() != agent);
    nginx.wait_until("the end of patience", || nginx.log().contains("goes on serving"));
    assert_eq!((nginx.objects(), nginx.version()), (objects, version));
}

#[test]
fn a_reload_changes_nothing_and_the_new_agent_goes_on() {
    let mut mesh = Mesh::start(20);
    let Some(nginx) = stock(&mesh, "4m") else { return };
    nginx.wait_until("the first publish", || nginx.version().is_some());
    // One whose text nginx hands out in memory of its own: a new agent reads it.
    let hosts: Vec<String> = (1..=200).map(|last| format!("10.0.3.{last}")).collect();
    mesh.push_cluster(19, &hosts.iter().map(String::as_str).collect::<Vec<_>>());
    nginx.wait_until("a large value", || {
        nginx.objects()["/upstreams/c19"].to_string().len() > 4096
    });
    let mut version = nginx.version().expect("a version");
    for round in 0..5 {
        let objects = nginx.objects();
        nginx.reload();
        nginx.wait_until("the new agent", || {
            let status = nginx.status();
            status["begun"] == true && status["objects"]["upstreams"] == 20
        });
        assert_eq!(nginx.objects(), objects);
        // While the old agent may still be there.
        mesh.push_cluster(round, &["10.9.9.9"]);
        nginx.wait_until("the change", || {
            nginx.objects()[&format!("/upstreams/c{round}")]["nodes"][0]["host"] == "10.9.9.9"
        });
        nginx.wait_until("its version", || nginx.version() > Some(version));
        version = nginx.version().expect("a version");
    }
    assert!(!nginx.log().contains("was locked by"), "{}", nginx.log());
}

#[test]
fn nginx_ends_in_good_order_in_the_middle_of_publishes() {
    for round in 0..8 {
        let mut mesh = Mesh::start(100);
        let Some(mut nginx) = stock(&mesh, "4m") else { return };
        nginx.wait_until("the first publish", || nginx.version().is_some());
        mesh.push_routes("a");
        std::thread::sleep(Duration::from_millis(round));
        assert!(nginx.quit(), "{}", nginx.log());
        assert!(!nginx.log().contains("was locked by"), "{}", nginx.log());
        assert!(!nginx.log().contains("exited on signal"), "{}", nginx.log());
    }
}
