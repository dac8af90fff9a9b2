//! The whole library in this process, from its start to its host's end: for the sanitizers, under which no nginx can be
//! built in with it. `amesh-ffi/tests/sanitize.sh` runs it so.

#![expect(unsafe_code, reason = "the test is the C program that hosts the library")]

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../support/dictionary.rs"]
mod dictionary;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../nginx/mesh.rs"]
mod mesh;
#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../../amesh-xds/tests/support/plane.rs"]
mod plane;

use std::ffi::{c_int, c_void};
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

use dictionary::{Dict, Value};
use mesh::Mesh;

/// The beginning of nginx's `ngx_cycle_t`.
#[repr(C)]
struct Cycle {
    conf_ctx: *mut c_void,
    pool: *mut Cleanup,
}

/// nginx's `ngx_pool_cleanup_t`; here a pool is one.
#[repr(C)]
struct Cleanup {
    handler: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
    next: *mut c_void,
}

#[unsafe(export_name = "ngx_cycle")]
static CYCLE: AtomicPtr<Cycle> = AtomicPtr::new(ptr::null_mut());

#[unsafe(export_name = "ngx_pool_cleanup_add")]
extern "C" fn add_cleanup(pool: *mut Cleanup, _size: usize) -> *mut Cleanup {
    pool
}

/// What the library answers when it is started.
fn start(dictionaries: [*mut Dict; 2], settings: &str) -> (c_int, String) {
    let [config, version] = dictionaries.map(<*mut Dict>::cast);
    let mut reason = [0_u8; 256];
    // SAFETY: the dictionaries are there, and texts are as long as is said.
    let code = unsafe {
        let (json, room) = (settings.as_ptr().cast(), reason.as_mut_ptr().cast());
        xds::amesh_start(config, version, json, settings.len(), room, reason.len())
    };
    let length = reason.iter().position(|byte| *byte == 0).expect("the end of a text");
    (code, String::from_utf8_lossy(&reason[..length]).into_owned())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}, in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the library's thread is there.
fn lives() -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.into_iter().any(|name| name.trim() == "amesh")
}

#[test]
fn the_library_starts_publishes_and_ends_with_its_host() {
    let mut mesh = Mesh::start(30);
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("wake");
    let mut cleanup = Cleanup {
        handler: None,
        data: ptr::null_mut(),
        next: ptr::null_mut(),
    };
    let mut cycle = Cycle {
        conf_ctx: ptr::null_mut(),
        pool: &raw mut cleanup,
    };
    CYCLE.store(&raw mut cycle, Ordering::SeqCst);
    let dictionaries = [Dict::leak(4 << 20), Dict::leak(4 << 20)];
    // SAFETY: both are there until the boxes are made below.
    let [config, version] = dictionaries.map(|dict| unsafe { &*dict });
    let settings = format!(
        r#"{{"server": "{}", "node": "router~10.0.0.9~gw-1.default~default.svc.cluster.local", "wake_socket": "{}"}}"#,
        mesh.server(),
        socket.display()
    );

    let wrong = start(dictionaries, r#"{"sevrer": "x"}"#);
    assert_eq!(
        wrong,
        (
            -1,
            "there is no setting \"sevrer\": did you mean \"server\"?".to_owned()
        )
    );
    // Two at once: one of them starts it.
    let pointers = dictionaries.map(AtomicPtr::new);
    let codes = std::thread::scope(|scope| {
        let call = || {
            start(
                pointers.each_ref().map(|pointer| pointer.load(Ordering::SeqCst)),
                &settings,
            )
            .0
        };
        let both = [scope.spawn(call), scope.spawn(call)];
        both.map(|thread| thread.join().expect("a code"))
    });
    assert!(codes == [0, 1] || codes == [1, 0], "{codes:?}");

    wait_until("the first publish", || version.at("version").is_some());
    let mut bell = UnixStream::connect(&socket).expect("the socket");
    bell.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    std::thread::sleep(Duration::from_millis(200));
    for round in 0..10 {
        mesh.push_cluster(round, &["10.0.0.2", "10.0.0.3"]);
        bell.read_exact(&mut [0]).expect("a byte");
        let Some(Value::Text(text)) = config.at(&format!("/upstreams/c{round}")) else {
            panic!("c{round} is not there");
        };
        let upstream: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(upstream["nodes"][1]["host"], "10.0.0.3");
    }
    wait_until("the status", || version.at("status").is_some());
    mesh.push_clusters(10);
    wait_until("the deletion", || config.at("/upstreams/c20").is_none());

    // The host ends in the middle of publishes, and its memory goes at once.
    mesh.push_clusters(300);
    mesh.push_routes("last");
    wait_until("some of it", || config.at("/upstreams/c30").is_some());
    let close = cleanup.handler.expect("a handler");
    // SAFETY: nginx calls it so, and nobody but the library would use the dictionaries after it.
    unsafe {
        close(cleanup.data);
        for dict in dictionaries {
            drop(Box::from_raw(dict));
        }
    }
    mesh.push_cluster(1, &["10.0.0.9"]);
    wait_until("the end of the thread", || !lives());
    wait_until("the end of the socket", || !socket.exists());
}
