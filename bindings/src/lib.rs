//! gnotify-bindings
