//! How `libxds.so` is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // LuaJIT closes a library that nothing in Lua refers to any more. Its threads would go on running in what was unmapped.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    // A test that hosts the library exports what the library looks up in its program.
    println!("cargo:rustc-link-arg-tests=-rdynamic");
}
