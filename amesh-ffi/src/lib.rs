//! The shared library that Apache APISIX will load as `libxds.so`. Nothing is here yet.
