//! gnotify-journal
