//! All that C and Rust say to each other: nginx's shared dictionaries, the end of its memory, signal masks, and the
//! functions that APISIX calls. The rest of the library is safe.
//!
//! nginx's Lua module and APISIX's runtime export the functions of their dictionaries under two names. They are looked up
//! in the program, since nothing is known of it when this library is linked.

#![expect(unsafe_code, reason = "this is where C is called and where C calls")]

#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::panic::catch_unwind;
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::zone::{Error, Space, Zone};
use crate::{Started, start};

type Store = unsafe extern "C" fn(
    zone: *mut c_void,
    op: c_int,
    key: *const u8,
    key_len: usize,
    value_type: c_int,
    text: *const u8,
    text_len: usize,
    number: f64,
    exptime: c_long,
    user_flags: c_int,
    error: *mut *const c_char,
    forcible: *mut c_int,
) -> c_int;
type Get = unsafe extern "C" fn(
    zone: *mut c_void,
    key: *const u8,
    key_len: usize,
    value_type: *mut c_int,
    text: *mut *mut u8,
    text_len: *mut usize,
    number: *mut f64,
    user_flags: *mut c_int,
    get_stale: c_int,
    is_stale: *mut c_int,
    error: *mut *const c_char,
) -> c_int;
type Bytes = unsafe extern "C" fn(zone: *mut c_void) -> usize;

/// Never evicts another key.
const SAFE_STORE: c_int = 4;
const NIL: c_int = 0;
const NUMBER: c_int = 3;
const STRING: c_int = 4;
/// Dictionaries keep the length of a key in two bytes, and not all of them check it.
const LONGEST_KEY: usize = 65_535;

/// The functions of dictionaries, as this nginx has them.
#[derive(Debug, Clone, Copy)]
struct Functions {
    store: Store,
    get: Get,
    capacity: Option<Bytes>,
    free_space: Option<Bytes>,
}

impl Functions {
    fn find() -> Option<Self> {
        // APISIX's runtime has only the first, other builds only the second.
        ["ngx_meta_lua_ffi_shdict", "ngx_http_lua_ffi_shdict"]
            .iter()
            .find_map(|prefix| {
                let find = |name| symbol(&format!("{prefix}_{name}"));
                let (store, get) = (find("store")?, find("get")?);
                let bytes = |name| {
                    find(name).map(|found| {
                        // SAFETY: a function of this name takes a zone and gives a size, in every release that has it.
                        unsafe { std::mem::transmute::<NonNull<c_void>, Bytes>(found) }
                    })
                };
                Some(Self {
                    // SAFETY: the function of this name has had this signature since 0.10.12, before what APISIX needs.
                    store: unsafe { std::mem::transmute::<NonNull<c_void>, Store>(store) },
                    // SAFETY: the function of this name has had this signature since it is there.
                    get: unsafe { std::mem::transmute::<NonNull<c_void>, Get>(get) },
                    capacity: bytes("capacity"),
                    free_space: bytes("free_space"),
                })
            })
    }
}

/// Something that the program or a library in it exports.
fn symbol(name: &str) -> Option<NonNull<c_void>> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: the name ends in a zero byte and outlives the call.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// Whether nginx's memory is there.
#[derive(Debug)]
struct Gate(Mutex<bool>);

impl Gate {
    const fn new() -> Self {
        Self(Mutex::new(true))
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the memory there while it is touched.
    fn hold(&self) -> Result<MutexGuard<'_, bool>, Error> {
        let open = self.lock();
        if *open { Ok(open) } else { Err(Error::Closed) }
    }

    /// When it returns nobody touches the memory, and nobody will.
    fn close(&self) {
        *self.lock() = false;
    }
}

/// That of this process's nginx.
static NGINX: Gate = Gate::new();

/// One of nginx's shared dictionaries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedDictionary {
    zone: NonNull<c_void>,
    functions: Functions,
    gate: &'static Gate,
}

// SAFETY: the pointer is only handed to nginx's functions, which lock the dictionary against every thread and process.
unsafe impl Send for SharedDictionary {}

impl SharedDictionary {
    fn store(&self, key: &str, kind: c_int, text: Option<&[u8]>, number: f64) -> Result<(), Error> {
        let text_len = text.map_or(0, <[u8]>::len);
        if key.len() > LONGEST_KEY || u32::try_from(text_len).is_err() {
            return Err(Error::TooLong);
        }
        let (mut error, mut forcible) = (ptr::null(), 0);
        let open = self.gate.hold()?;
        // SAFETY: the zone is nginx's, which is there as long as the gate is held. Key and text outlive the
        // call, which copies them. The error is a text that is never freed.
        let code = unsafe {
            (self.functions.store)(
                self.zone.as_ptr(),
                SAFE_STORE,
                key.as_ptr(),
                key.len(),
                kind,
                text.map_or(ptr::null(), <[u8]>::as_ptr),
                text_len,
                number,
                0,
                0,
                &raw mut error,
                &raw mut forcible,
            )
        };
        drop(open);
        if code == 0 { Ok(()) } else { Err(told(error)) }
    }

    /// Calls `take` with what is under a key: its type, its text and its number.
    fn fetch<T>(&self, key: &str, take: impl FnOnce(c_int, &[u8], f64) -> T) -> Result<T, Error> {
        if key.len() > LONGEST_KEY {
            return Err(Error::TooLong);
        }
        let mut buffer = vec![0_u8; 4096];
        let (mut text, mut text_len) = (buffer.as_mut_ptr(), buffer.len());
        let own = text;
        let (mut kind, mut number, mut flags, mut stale, mut error) = (NIL, 0.0, 0, 0, ptr::null());
        let open = self.gate.hold()?;
        // SAFETY: as for storing. A text that does not fit into the buffer comes in memory of its own instead.
        let code = unsafe {
            (self.functions.get)(
                self.zone.as_ptr(),
                key.as_ptr(),
                key.len(),
                &raw mut kind,
                &raw mut text,
                &raw mut text_len,
                &raw mut number,
                &raw mut flags,
                0,
                &raw mut stale,
                &raw mut error,
            )
        };
        drop(open);
        if code != 0 {
            return Err(told(error));
        }
        if kind != STRING {
            return Ok(take(kind, &[], number));
        }
        // SAFETY: for a text the call left a pointer to that many bytes that it wrote.
        let taken = take(kind, unsafe { std::slice::from_raw_parts(text, text_len) }, number);
        if text != own {
            // SAFETY: the call allocated it for us, and nothing refers to it any more.
            unsafe { libc::free(text.cast()) };
        }
        Ok(taken)
    }
}

fn told(error: *const c_char) -> Error {
    if error.is_null() {
        return Error::Other("the dictionary gives no reason".to_owned());
    }
    // SAFETY: nginx's errors are texts in its program, with a zero byte at their end.
    match unsafe { CStr::from_ptr(error) }.to_string_lossy().as_ref() {
        "no memory" => Error::Full,
        other => Error::Other(other.to_owned()),
    }
}

impl Zone for SharedDictionary {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.fetch(key, |kind, text, _| (kind == STRING).then(|| text.to_vec()))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        self.fetch(key, |kind, _, number| (kind == NUMBER).then_some(number))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        // An empty slice has a pointer that is not null, so it is stored and does not delete.
        self.store(key, STRING, Some(value), 0.0)
    }

    fn set_number(&self, key: &str, value: f64) -> Result<(), Error> {
        self.store(key, NUMBER, None, value)
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.store(key, NIL, None, 0.0)
    }

    fn space(&self) -> Option<Space> {
        let (capacity, free) = (self.functions.capacity?, self.functions.free_space?);
        let open = self.gate.hold().ok()?;
        // SAFETY: as for storing.
        let space = unsafe {
            Space {
                capacity: capacity(self.zone.as_ptr()),
                free: free(self.zone.as_ptr()),
            }
        };
        drop(open);
        Some(space)
    }
}

/// Whether nginx still has its memory.
pub(crate) fn is_open() -> bool {
    *NGINX.lock()
}

/// The beginning of nginx's `ngx_cycle_t`, the same in every release.
#[repr(C)]
struct Cycle {
    conf_ctx: *mut c_void,
    pool: *mut c_void,
}

/// nginx's `ngx_pool_cleanup_t`, the same in every release.
#[repr(C)]
struct Cleanup {
    handler: Option<unsafe extern "C" fn(*mut c_void)>,
    data: *mut c_void,
    next: *mut c_void,
}

unsafe extern "C" fn close(_: *mut c_void) {
    NGINX.close();
}

/// nginx's `ngx_pool_cleanup_add`, the same in every release.
type AddCleanup = unsafe extern "C" fn(pool: *mut c_void, size: usize) -> *mut Cleanup;

/// Has nginx stop the writer before it takes its memory down: a process that ends while it holds the lock of a dictionary
/// leaves it half written. False where nginx cannot be asked.
fn close_with_nginx() -> bool {
    let (Some(cycle), Some(add)) = (symbol("ngx_cycle"), symbol("ngx_pool_cleanup_add")) else {
        return false;
    };
    // SAFETY: the function of this name has had this signature in every release of nginx.
    let add = unsafe { std::mem::transmute::<NonNull<c_void>, AddCleanup>(add) };
    // SAFETY: the variable of this name is a pointer to the cycle. This is nginx's own thread, in which nothing else uses
    // the pool meanwhile.
    unsafe { close_with(cycle.cast(), add) }
}

/// # Safety
///
/// `cycle` is a pointer to a cycle or to null, and nothing else uses the cycle's pool meanwhile, to which `add` adds.
unsafe fn close_with(cycle: NonNull<*const Cycle>, add: AddCleanup) -> bool {
    // SAFETY: as the caller says; nginx fills in all of the entry before it hands it out.
    unsafe {
        let cycle = *cycle.as_ptr();
        if cycle.is_null() || (*cycle).pool.is_null() {
            return false;
        }
        let cleanup = add((*cycle).pool, 0);
        if cleanup.is_null() {
            return false;
        }
        (*cleanup).handler = Some(close);
    }
    true
}

/// Calls something while this thread has all signals blocked. A thread that is made meanwhile keeps them blocked: signals
/// are nginx's, and a thread that took one would make nginx miss it until something else wakes it up.
pub(crate) fn without_signals<T>(call: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are written before they are read, and blocking and restoring concern this thread alone.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        let blocked = libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) == 0;
        let made = call();
        if blocked {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut());
        }
        made
    }
}

/// What both entries do, with panics stopped: one that reached nginx would end it.
fn enter(config: *mut c_void, version: *mut c_void, json: Option<&[u8]>) -> Result<Started, String> {
    let (Some(config), Some(version)) = (NonNull::new(config), NonNull::new(version)) else {
        return Err("a dictionary is missing".to_owned());
    };
    let functions = Functions::find()
        .ok_or("neither ngx_meta_lua_ffi_shdict_store nor ngx_http_lua_ffi_shdict_store is there: is this nginx?")?;
    let [config, version] = [config, version].map(|zone| SharedDictionary {
        zone,
        functions,
        gate: &NGINX,
    });
    let started = catch_unwind(|| start(config, version, json, close_with_nginx));
    started.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// Starts the library with settings from the environment, as APISIX's own `config_xds` does: once, in the privileged agent.
/// A second call in a process does nothing.
///
/// # Safety
///
/// Both pointers are zones of nginx's shared dictionaries, and the calling thread is nginx's own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn initial(config_zone: *mut c_void, version_zone: *mut c_void) {
    // Why it does not start is in the log; there is nobody to tell it here.
    let _ = enter(config_zone, version_zone, None);
}

/// Starts the library with settings as a JSON object, which go before those of the environment.
///
/// 0: it runs. 1: it was running already, and nothing was done. -1: it does not run, and the reason is written to
/// `error_buf`, with a zero byte at its end, cut off after `error_len` bytes.
///
/// # Safety
///
/// As for [`initial`]; `json` has `json_len` bytes, and `error_buf` has room for `error_len` bytes or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn amesh_start(
    config_zone: *mut c_void,
    version_zone: *mut c_void,
    json: *const c_char,
    json_len: usize,
    error_buf: *mut c_char,
    error_len: usize,
) -> c_int {
    let json = if json.is_null() {
        &b"{}"[..]
    } else {
        // SAFETY: the caller says that these bytes are there.
        unsafe { std::slice::from_raw_parts(json.cast(), json_len) }
    };
    match enter(config_zone, version_zone, Some(json)) {
        Ok(Started::Now) => 0,
        Ok(Started::Before) => 1,
        Err(error) => {
            if let Some(room) = error_len.checked_sub(1).filter(|_| !error_buf.is_null()) {
                let fits = |length: &usize| error.is_char_boundary(*length);
                let length = (0..=room.min(error.len())).rev().find(fits).unwrap_or(0);
                // SAFETY: the caller says that there is room for one byte more than this.
                unsafe {
                    ptr::copy_nonoverlapping(error.as_ptr().cast(), error_buf, length);
                    *error_buf.add(length) = 0;
                }
            }
            -1
        }
    }
}

/// The version of the library: a text with a zero byte at its end, which is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn amesh_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
