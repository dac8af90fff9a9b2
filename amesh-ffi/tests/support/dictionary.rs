//! A dictionary in memory behind the functions that nginx's Lua module exports for C, under their names, so that a test is
//! the program in which the library finds them.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

const SAFE_STORE: c_int = 4;
const NIL: c_int = 0;
const BOOLEAN: c_int = 1;
const NUMBER: c_int = 3;
const STRING: c_int = 4;

/// What can be under a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean,
    Number(f64),
    Text(Vec<u8>),
}

/// A dictionary; nginx's functions take a pointer to one.
#[derive(Debug)]
pub(crate) struct Dict {
    values: Mutex<HashMap<Vec<u8>, Value>>,
    /// The longest text that fits.
    room: usize,
}

impl Dict {
    /// Makes one, which is there until somebody makes a box of the pointer again.
    pub(crate) fn leak(room: usize) -> *mut Self {
        let values = Mutex::default();
        Box::into_raw(Box::new(Self { values, room }))
    }

    fn with<T>(&self, call: impl FnOnce(&mut HashMap<Vec<u8>, Value>) -> T) -> T {
        call(&mut self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is under a key.
    pub(crate) fn at(&self, key: &str) -> Option<Value> {
        self.with(|values| values.get(key.as_bytes()).cloned())
    }

    /// Puts something under a key.
    pub(crate) fn put(&self, key: &str, value: Value) {
        self.with(|values| values.insert(key.as_bytes().to_vec(), value));
    }
}

/// # Safety
///
/// So many bytes are there.
unsafe fn bytes(text: *const u8, length: usize) -> Vec<u8> {
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(text, length) }.to_vec()
}

#[unsafe(export_name = "ngx_meta_lua_ffi_shdict_store")]
pub(crate) unsafe extern "C" fn store(
    zone: *mut c_void,
    op: c_int,
    key: *const u8,
    key_len: usize,
    value_type: c_int,
    text: *const u8,
    text_len: usize,
    number: f64,
    _exptime: c_long,
    _user_flags: c_int,
    error: *mut *const c_char,
    forcible: *mut c_int,
) -> c_int {
    assert_eq!(op, SAFE_STORE);
    // SAFETY: the zone is a `Dict`, and what nginx's function may read and write is there.
    unsafe {
        *forcible = 0;
        let dict = &*zone.cast::<Dict>();
        let key = bytes(key, key_len);
        let value = match value_type {
            NIL => {
                dict.with(|values| values.remove(&key));
                return 0;
            }
            NUMBER => Value::Number(number),
            STRING => Value::Text(bytes(text, text_len)),
            _ => {
                *error = c"bad value type".as_ptr();
                return -1;
            }
        };
        if text_len > dict.room {
            *error = c"no memory".as_ptr();
            return -1;
        }
        dict.with(|values| values.insert(key, value));
    }
    0
}

#[unsafe(export_name = "ngx_meta_lua_ffi_shdict_get")]
pub(crate) unsafe extern "C" fn get(
    zone: *mut c_void,
    key: *const u8,
    key_len: usize,
    value_type: *mut c_int,
    text: *mut *mut u8,
    text_len: *mut usize,
    number: *mut f64,
    user_flags: *mut c_int,
    _get_stale: c_int,
    is_stale: *mut c_int,
    error: *mut *const c_char,
) -> c_int {
    // SAFETY: as above.
    unsafe {
        (*user_flags, *is_stale) = (0, 0);
        let key = bytes(key, key_len);
        if key.is_empty() {
            *error = c"empty key".as_ptr();
            return -1;
        }
        let dict = &*zone.cast::<Dict>();
        match dict.with(|values| values.get(&key).cloned()) {
            None => *value_type = NIL,
            Some(Value::Boolean) => {
                *value_type = BOOLEAN;
                **text = 1;
                *text_len = 1;
            }
            Some(Value::Number(found)) => {
                *value_type = NUMBER;
                *number = found;
                *text_len = 8;
            }
            Some(Value::Text(found)) => {
                *value_type = STRING;
                // As nginx does: what does not fit comes in memory that the caller has to free.
                if *text_len < found.len() {
                    *text = libc::malloc(found.len()).cast();
                }
                *text_len = found.len();
                ptr::copy_nonoverlapping(found.as_ptr(), *text, found.len());
            }
        }
    }
    0
}

#[unsafe(export_name = "ngx_meta_lua_ffi_shdict_capacity")]
pub(crate) unsafe extern "C" fn capacity(zone: *mut c_void) -> usize {
    // SAFETY: as above.
    unsafe { (*zone.cast::<Dict>()).room }
}

#[unsafe(export_name = "ngx_meta_lua_ffi_shdict_free_space")]
pub(crate) unsafe extern "C" fn free_space(zone: *mut c_void) -> usize {
    // SAFETY: as above.
    unsafe { (*zone.cast::<Dict>()).room }
}
