//! Pointers and memory between C and Rust, with dictionaries and a cycle of the test's own in nginx's place. What is read or
//! written beside what is there shows under Miri or a sanitizer: `amesh-ffi/tests/sanitize.sh`.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "../../tests/support/dictionary.rs"]
mod dictionary;

use std::thread;

use super::*;
use dictionary::{Dict, Value};

const FUNCTIONS: Functions = Functions {
    store: dictionary::store,
    get: dictionary::get,
    capacity: Some(dictionary::capacity),
    free_space: Some(dictionary::free_space),
};

/// A dictionary, and nginx's memory with it.
struct World {
    dict: *mut Dict,
    gate: &'static Gate,
}

impl World {
    fn new(room: usize) -> Self {
        // It outlives its dictionary, as that of nginx does. What a static refers to is no leak.
        static GATES: Mutex<Vec<&Gate>> = Mutex::new(Vec::new());
        let gate: &'static Gate = Box::leak(Box::new(Gate::new()));
        GATES.lock().unwrap().push(gate);
        Self {
            dict: Dict::leak(room),
            gate,
        }
    }

    fn zone(&self) -> SharedDictionary {
        SharedDictionary {
            zone: NonNull::new(self.dict.cast()).unwrap(),
            functions: FUNCTIONS,
            gate: self.gate,
        }
    }
}

impl Drop for World {
    /// nginx ends: whoever still looks at the dictionary reads what was freed.
    fn drop(&mut self) {
        self.gate.close();
        // SAFETY: it came from a box, and nobody may use it any more.
        drop(unsafe { Box::from_raw(self.dict) });
    }
}

#[test]
fn texts_of_every_length_come_back() {
    let world = World::new(1 << 20);
    let zone = world.zone();
    for length in [0, 1, 4095, 4096, 4097, 20_000] {
        let text: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        zone.set("/routes/a", &text).unwrap();
        assert_eq!(zone.get("/routes/a"), Ok(Some(text)), "{length}");
        assert_eq!(zone.number("/routes/a"), Ok(None));
    }
    zone.delete("/routes/a").unwrap();
    assert_eq!(zone.get("/routes/a"), Ok(None));
    zone.set_number("version", 7.0).unwrap();
    assert_eq!((zone.number("version"), zone.get("version")), (Ok(Some(7.0)), Ok(None)));
    // SAFETY: the dictionary is there until the world goes.
    unsafe { &*world.dict }.put("flag", Value::Boolean);
    assert_eq!((zone.number("flag"), zone.get("flag")), (Ok(None), Ok(None)));
}

#[test]
fn what_the_dictionary_says_is_told() {
    let world = World::new(10);
    let zone = world.zone();
    assert_eq!(zone.set("a", b"a long text"), Err(Error::Full));
    assert_eq!(zone.get(""), Err(Error::Other("empty key".to_owned())));
    let long = "x".repeat(LONGEST_KEY + 1);
    assert_eq!(zone.get(&long), Err(Error::TooLong));
    assert_eq!(zone.set(&long, b""), Err(Error::TooLong));
    assert_eq!(zone.space(), Some(Space { capacity: 10, free: 10 }));
    assert!(matches!(told(ptr::null()), Error::Other(_)));
}

#[test]
fn when_nginx_has_closed_its_memory_nobody_touches_it() {
    let world = World::new(1 << 20);
    let (zone, gate) = (world.zone(), world.gate);
    let (begun, waits) = std::sync::mpsc::channel();
    let writer = thread::spawn(move || {
        let mut writes = 0;
        loop {
            if let Err(error) = zone.set("a", &[0; 100]) {
                return (writes, error);
            }
            writes += 1;
            assert!(matches!(zone.get("a"), Ok(Some(_)) | Err(Error::Closed)));
            assert!(zone.space().is_none_or(|space| space.capacity == 1 << 20));
            let _ = begun.send(());
        }
    });
    waits.recv().unwrap();
    drop(world);
    let (writes, error) = writer.join().unwrap();
    assert!(writes > 0);
    assert_eq!(error, Error::Closed);
    assert!(gate.hold().is_err());
}

#[test]
fn nginx_is_asked_to_close_where_there_is_a_pool() {
    unsafe extern "C" fn add(pool: *mut c_void, size: usize) -> *mut Cleanup {
        assert_eq!(size, 0);
        // nginx allocates an entry in the pool; here the pool is one.
        pool.cast()
    }
    unsafe extern "C" fn full(_: *mut c_void, _: usize) -> *mut Cleanup {
        ptr::null_mut()
    }
    let mut entry = Cleanup {
        handler: None,
        data: ptr::null_mut(),
        next: ptr::null_mut(),
    };
    let mut cycle = Cycle {
        conf_ctx: ptr::null_mut(),
        pool: (&raw mut entry).cast(),
    };
    let ask = |cycle: *const Cycle, add: AddCleanup| {
        let mut variable = cycle;
        // SAFETY: the cycle and its pool are there, and `add` takes such a pool.
        unsafe { close_with(NonNull::from(&mut variable), add) }
    };
    assert!(ask(&raw const cycle, add));
    assert!(entry.handler.is_some());
    assert!(!ask(&raw const cycle, full));
    assert!(!ask(ptr::null(), add));
    cycle.pool = ptr::null_mut();
    assert!(!ask(&raw const cycle, add));
}

#[test]
fn a_reason_is_cut_to_the_room_that_there_is() {
    let reason = "a dictionary is missing";
    for room in [0, 1, 5, reason.len(), reason.len() + 1, 100] {
        let mut buffer = vec![0x55_u8; room].into_boxed_slice();
        // SAFETY: no dictionary is given, and the buffer has this room.
        let code = unsafe {
            amesh_start(
                ptr::null_mut(),
                ptr::null_mut(),
                c"{}".as_ptr(),
                2,
                buffer.as_mut_ptr().cast(),
                room,
            )
        };
        assert_eq!(code, -1);
        let expected = reason.len().min(room.saturating_sub(1));
        assert_eq!(buffer[..expected], reason.as_bytes()[..expected]);
        assert!(room == 0 || buffer[expected] == 0, "{room}");
        assert!(buffer.iter().skip(expected + 1).all(|byte| *byte == 0x55), "{room}");
    }
    // SAFETY: no dictionary, no buffer, no JSON.
    let code = unsafe { amesh_start(ptr::null_mut(), ptr::null_mut(), ptr::null(), 0, ptr::null_mut(), 100) };
    assert_eq!(code, -1);
    // SAFETY: it is a text with a zero byte at its end.
    let version = unsafe { CStr::from_ptr(amesh_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
