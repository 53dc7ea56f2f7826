//! gnotify-harness
