//! Places inside a resource, by protobuf field names.

use std::fmt::{self, Write as _};

/// A place inside a resource: a list on the stack that becomes text only when a finding is added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The resource itself.
    pub(crate) const fn root() -> Self {
        Self {
            parent: None,
            step: Step::Root,
        }
    }

    /// A field of the message at this place, by its protobuf name.
    pub(crate) const fn field(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Field(name),
        }
    }

    /// An entry of the list at this place.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// An entry of the map at this place.
    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    /// Appends the place as text.
    pub(crate) fn render(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.render(out);
        }
        match self.step {
            Step::Root => {}
            Step::Field(name) if out.is_empty() => out.push_str(name),
            Step::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            // Writing to a string cannot fail.
            Step::Index(index) => drop(write!(out, "[{index}]")),
            Step::Key(key) => drop(write!(out, "[{key:?}]")),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.render(&mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_protobuf_field_names() {
        let root = Path::root();
        let hosts = root.field("virtual_hosts");
        let host = hosts.index(2);
        let config = host.field("typed_per_filter_config");
        assert_eq!(
            config.key("envoy.filters.http.cors").to_string(),
            r#"virtual_hosts[2].typed_per_filter_config["envoy.filters.http.cors"]"#
        );
    }
}
