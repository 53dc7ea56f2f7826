//! gnotify-bench
