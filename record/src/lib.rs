//! gnotify-record
