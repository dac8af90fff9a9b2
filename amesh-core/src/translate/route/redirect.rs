//! `RedirectAction`: an answer that sends the client elsewhere.
//!
//! Envoy writes an absolute location: scheme, host, port, path and query each come from the route where it names them, and
//! from the request otherwise. The `amesh-answer` plugin does the same. APISIX's own `redirect` plugin either writes a text
//! with variables of nginx in it, or replaces a part of the decoded path, which leaves no place for a variable. So without
//! Amesh's package a new prefix can be written only where the host is known, or as a location without one, and a port in the
//! Host header is not cut off where Envoy would.

use envoy_types::pb::envoy::config::route::v3::RedirectAction;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};

use super::answer::Answer;
use super::rewrite;
use crate::apisix::plugin::{LocalAnswer, PathRewrite, Redirect, RedirectAnswer};
use crate::feature::{Feature, Message, approximate, exact, unsupported};
use crate::finding::{Findings, Outcome, Path, Rule};
use crate::options::Target;
use crate::regex::escape;

pub(crate) static FEATURE: Feature = Feature {
    name: "route/redirect",
    summary: "A redirect becomes the amesh-answer plugin, or APISIX's redirect plugin.",
    messages: &[Message {
        name: "envoy.config.route.v3.RedirectAction",
        fields: &[
            exact("https_redirect", "redirect.uri").amesh_exact("amesh-answer.redirect.scheme"),
            exact("scheme_redirect", "redirect.uri").amesh_exact("amesh-answer.redirect.scheme"),
            exact("host_redirect", "redirect.uri").amesh_exact("amesh-answer.redirect.host"),
            approximate("port_redirect", "redirect.uri", &HOST).amesh_exact("amesh-answer.redirect.port"),
            exact("path_redirect", "redirect.uri").amesh_exact("amesh-answer.redirect.path"),
            approximate("prefix_rewrite", "redirect.regex_uri", &RELATIVE)
                .amesh_exact("amesh-answer.redirect.rewrite.put"),
            unsupported("regex_rewrite", &REDIRECT).amesh_exact("amesh-answer.redirect.rewrite.pattern"),
            unsupported("path_rewrite", &REDIRECT),
            exact("response_code", "redirect.ret_code").amesh_exact("amesh-answer.redirect.status"),
            exact("strip_query", "redirect.uri").amesh_exact("amesh-answer.redirect.strip_query"),
        ],
    }],
    extensions: &[],
    rules: &[],
};

static REDIRECT: Rule = Rule::new(
    "route-redirect",
    Outcome::FailsClosed,
    "a redirect cannot be carried over",
    "Envoy answers with a Location made from the request and the route. APISIX's redirect plugin cannot write one that needs \
     a pattern, or a new prefix together with a part of the request's own host, and it takes `$` and `\\` in a text for its \
     own. APISIX answers 503 to the requests that the route takes.",
    "load Amesh's Lua package, which writes every Location as Envoy does; or permit the rule to leave the route out",
);

pub(super) static HOST: Rule = Rule::new(
    "route-redirect-host",
    Outcome::Approximated,
    "the host of a redirect is what nginx makes of the Host header",
    "Where the scheme or the port changes, Envoy cuts the old port off the host that it writes into the Location, `:80` for \
     instance when it goes from http to https. APISIX's redirect plugin writes the host with its port as it came or, where \
     the route names a port, without it and in lower case.",
    "nothing for clients that leave out the default port, as browsers do; or load Amesh's Lua package",
);

static RELATIVE: Rule = Rule::new(
    "route-redirect-prefix",
    Outcome::Approximated,
    "a redirect to a new prefix is made from the decoded path",
    "Envoy replaces the prefix of the path as it was sent, and writes an absolute location. APISIX's redirect plugin replaces \
     it in the path that nginx decoded and escapes the result anew, which is the same for paths without unusual escapes; \
     where the route does not name the host, the location has none, which clients complete with the host they asked.",
    "nothing for most clients; or load Amesh's Lua package",
);

/// What Envoy would answer, without the request.
#[derive(Debug)]
pub(super) struct Location {
    status: u32,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u32>,
    path: Option<String>,
    /// The prefix that is replaced, `None` for the whole path, and by what.
    rewrite: Option<(Option<String>, String)>,
    /// What is replaced by a pattern.
    regex: Option<PathRewrite>,
    strip_query: bool,
}

/// The answer that sends every client to the same place over https.
pub(super) fn to_https(at: Path<'_>, findings: &Findings) -> Answer {
    let location = Location {
        status: 301,
        scheme: Some("https".to_owned()),
        host: None,
        port: None,
        path: None,
        rewrite: None,
        regex: None,
        strip_query: false,
    };
    // There is no text in it that APISIX's plugin could not write.
    location.answer(at, findings).unwrap_or(Answer::Status(403))
}

/// The answer; `None` where the operator permitted the route to be left out. `prefix` is what the paths that the route
/// takes begin with, if that is how it chooses them.
pub(super) fn redirect(
    action: &RedirectAction,
    prefix: Option<&str>,
    at: Path<'_>,
    findings: &Findings,
) -> Option<Answer> {
    let RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = action;
    let given = |text: &String| (!text.is_empty()).then(|| text.clone());
    let mut location = Location {
        status: status(*response_code),
        scheme: match scheme_rewrite_specifier {
            Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".to_owned()),
            Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => given(scheme),
            Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
        },
        host: given(host_redirect),
        port: (*port_redirect != 0).then_some(*port_redirect),
        path: None,
        rewrite: None,
        regex: None,
        strip_query: *strip_query,
    };
    match path_rewrite_specifier {
        // Envoy puts a slash before a path that has none.
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            location.path = given(path).map(|path| {
                if path.starts_with('/') {
                    path
                } else {
                    format!("/{path}")
                }
            });
        }
        Some(PathRewriteSpecifier::PrefixRewrite(put)) => {
            let rewrite = || (prefix.map(str::to_owned), put.clone());
            location.rewrite = (!put.is_empty()).then(rewrite);
        }
        Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => {
            let at = at.field("regex_rewrite");
            match rewrite::regex(rewrite) {
                Ok(rewrite) if findings.options().target == Target::Amesh => {
                    location.regex = Some(rewrite::with_package(&rewrite));
                }
                Ok(_) => return refused(at, findings),
                Err(error) => {
                    let permitted = findings.permits(&REDIRECT, at, Some(error.to_string()));
                    return (!permitted).then_some(Answer::Status(503));
                }
            }
        }
        Some(PathRewriteSpecifier::PathRewrite(_)) => return refused(at.field("path_rewrite"), findings),
        None => {}
    }
    location.answer(at, findings)
}

impl Location {
    fn answer(self, at: Path<'_>, findings: &Findings) -> Option<Answer> {
        if findings.options().target == Target::Amesh {
            return Some(Answer::Amesh(LocalAnswer::Redirect(self.with_package())));
        }
        match self.native(at, findings) {
            Some(redirect) => Some(Answer::Redirect(redirect)),
            None => refused(at, findings),
        }
    }

    fn with_package(self) -> RedirectAnswer {
        let Self {
            status,
            scheme,
            host,
            port,
            path,
            rewrite,
            regex,
            strip_query,
        } = self;
        RedirectAnswer {
            status,
            scheme,
            host,
            port,
            path,
            form: None,
            rewrite: regex.or_else(|| {
                rewrite.map(|(prefix, put)| PathRewrite {
                    cut: prefix.map(|prefix| prefix.len()),
                    pattern: None,
                    put,
                })
            }),
            strip_query,
        }
    }

    /// The configuration of APISIX's own plugin, if it can write this location.
    fn native(&self, at: Path<'_>, findings: &Findings) -> Option<Redirect> {
        let texts = [&self.scheme, &self.host, &self.path];
        if texts.into_iter().flatten().any(|text| text.contains(['$', '\\'])) {
            return None;
        }
        if let Some((prefix, put)) = &self.rewrite {
            return self.native_rewrite(prefix.as_deref(), put, at, findings);
        }
        let scheme = self.scheme.as_deref().unwrap_or("$scheme");
        let host = match (&self.host, self.port) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.clone(),
            (None, Some(port)) => {
                findings.add(&HOST, at.field("port_redirect"));
                format!("$host:{port}")
            }
            (None, None) => {
                // From one scheme to itself nothing is cut off.
                findings.add_if(self.scheme.is_some(), &HOST, at);
                "$http_host".to_owned()
            }
        };
        let (path, append) = match &self.path {
            Some(path) if path.contains('?') => (path.as_str(), false),
            Some(path) => (path.as_str(), !self.strip_query),
            None if self.strip_query => ("$uri", false),
            // What APISIX calls `request_uri` is decoded.
            None => ("$real_request_uri", false),
        };
        Some(Redirect {
            uri: Some(format!("{scheme}://{host}{path}")),
            regex_uri: None,
            ret_code: self.status,
            append_query_string: append,
            encode_uri: self.path.is_none() && self.strip_query,
        })
    }

    fn native_rewrite(&self, prefix: Option<&str>, put: &str, at: Path<'_>, findings: &Findings) -> Option<Redirect> {
        if put.contains(['?', '#']) {
            return None;
        }
        let authority = match (&self.scheme, &self.host, self.port) {
            (Some(scheme), Some(host), None) => format!("{scheme}://{host}"),
            (Some(scheme), Some(host), Some(port)) => format!("{scheme}://{host}:{port}"),
            (None, Some(host), None) => format!("//{host}"),
            (None, Some(host), Some(port)) => format!("//{host}:{port}"),
            (None, None, None) => String::new(),
            // The request's own host with another scheme or port.
            (Some(_), None, _) | (None, None, Some(_)) => return None,
        };
        findings.add(&RELATIVE, at.field("prefix_rewrite"));
        let (pattern, rest) = match prefix {
            Some(prefix) => (format!("^{}(.*)$", escape(prefix)), "$1"),
            None => ("^.*$".to_owned(), ""),
        };
        Some(Redirect {
            uri: None,
            regex_uri: Some([
                format!("(?s){pattern}"),
                format!("{authority}{}{rest}", put.replace('$', "$$")),
            ]),
            ret_code: self.status,
            append_query_string: !self.strip_query,
            encode_uri: true,
        })
    }
}

fn refused(at: Path<'_>, findings: &Findings) -> Option<Answer> {
    (!findings.permits(&REDIRECT, at, None)).then_some(Answer::Status(503))
}

fn status(code: i32) -> u32 {
    match RedirectResponseCode::try_from(code) {
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        Ok(RedirectResponseCode::MovedPermanently) | Err(_) => 301,
    }
}
