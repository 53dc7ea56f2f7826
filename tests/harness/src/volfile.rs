//! The graphs of `volfiles/`, with their @PLACEHOLDERS@ filled in.

use std::path::{Path, PathBuf};

/// A graph being filled in.
#[derive(Clone, Debug)]
pub struct Volfile {
    text: String,
}

impl Volfile {
    /// The graph in `volfiles/<file>`.
    ///
    /// # Panics
    /// When there is none.
    pub fn named(file: &str) -> Volfile {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../volfiles").join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Volfile::from_text(text)
    }

    /// A graph of the test's own.
    pub fn from_text(text: impl Into<String>) -> Volfile {
        Volfile { text: text.into() }
    }

    /// Whether the graph has the placeholder `@key@`.
    pub fn has(&self, key: &str) -> bool {
        self.text.contains(&format!("@{key}@"))
    }

    /// Puts `value` in the place of every `@key@`.
    #[must_use]
    pub fn fill(self, key: &str, value: impl AsRef<str>) -> Volfile {
        Volfile { text: self.text.replace(&format!("@{key}@"), value.as_ref()) }
    }

    /// Puts an `option` line for each pair in the place of `@OPTIONS@`.
    #[must_use]
    pub fn options(self, options: &[(String, String)]) -> Volfile {
        let lines: Vec<_> =
            options.iter().map(|(key, value)| format!("option {key} {value}")).collect();
        self.fill("OPTIONS", lines.join("\n  "))
    }

    /// Writes the finished graph.
    ///
    /// # Panics
    /// When a placeholder is left, or on an I/O error.
    pub fn write(&self, path: PathBuf) -> PathBuf {
        let left = self
            .text
            .lines()
            .find(|line| !line.trim_start().starts_with('#') && line.split('@').count() > 2);
        assert!(left.is_none(), "{}: not filled in: {left:?}", path.display());
        std::fs::write(&path, &self.text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }
}
