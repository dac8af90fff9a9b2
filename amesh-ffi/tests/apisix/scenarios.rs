//! The meshes of the recordings, edited while they serve.

use crate::Proxy;
use crate::live::{Live, Request, to, with};

const PRODUCTPAGE: Proxy = Proxy {
    node: "sidecar~127.0.1.1~productpage-v1-0.default~default.svc.cluster.local",
    labels: &[("app", "productpage"), ("version", "v1")],
    arrival: Some("host"),
};

const INGRESS: Proxy = Proxy {
    node: "router~10.1.2.1~istio-ingressgateway-0.istio-system~istio-system.svc.cluster.local",
    labels: &[("app", "istio-ingressgateway"), ("istio", "ingressgateway")],
    arrival: Some("direct"),
};

const REVIEWS: Request = to("reviews:9080", "/reviews/0");
const RATINGS: Request = to("ratings:9080", "/ratings/0");
const DETAILS: Request = to("details.default.svc.cluster.local:9080", "/details/0");
const PAGE: Request = to("bookinfo.example.com", "/productpage");
const KEY: &str = "x-api-key: secret\r\n";
const JASON: Request = with("reviews:9080", "/reviews/0", "end-user: jason\r\n");

const ROUND_ROBIN: &str = "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: balancing, namespace: default}
spec: {host: reviews, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}
";

/// All versions of the reviews.
const ALL: [&str; 3] = ["reviews-v1", "reviews-v2", "reviews-v3"];
const THIRDS: [(&str, u32); 3] = [("reviews-v1", 33), ("reviews-v2", 33), ("reviews-v3", 33)];

#[test]
fn bookinfo() {
    let Some(live) = Live::start("01-bookinfo-default", &PRODUCTPAGE, &[("ratings, moved", "127.0.1.99")]) else {
        return;
    };
    live.answers(RATINGS, 200, "ratings-v1");
    live.answers(DETAILS, 200, "details-v1");
    live.among(REVIEWS, &ALL);
    live.same(&[to("nobody.example", "/"), to("reviews:1", "/"), to("orders:9080", "/")]);

    // Another way of balancing.
    live.add("balancing.yaml", ROUND_ROBIN);
    live.draws(REVIEWS, &THIRDS);
    // A pod moves.
    live.edit("bookinfo.yaml", "podIP: 127.0.1.5\n", "podIP: 127.0.1.99\n");
    live.answers(RATINGS, 200, "ratings, moved");
    // A pod leaves its service, and comes back.
    let (member, stranger) = (
        "    app: reviews\n    version: v2\n",
        "    app: none\n    version: v2\n",
    );
    live.edit("bookinfo.yaml", member, stranger);
    live.draws(REVIEWS, &[("reviews-v1", 50), ("reviews-v3", 50)]);
    live.edit("bookinfo.yaml", stranger, member);
    live.draws(REVIEWS, &THIRDS);
    // A service gets another name.
    live.edit("bookinfo.yaml", "  name: details\n", "  name: orders\n");
    live.answers(to("orders:9080", "/"), 200, "details-v1");
    live.same(&[DETAILS, RATINGS]);
}

#[test]
fn request_routing() {
    let Some(live) = Live::start("02-request-routing", &PRODUCTPAGE, &[]) else {
        return;
    };
    let jane = with("reviews:9080", "/reviews/0", "end-user: jane\r\n");
    live.answers(JASON, 200, "reviews-v2");
    live.answers(REVIEWS, 200, "reviews-v1");
    live.answers(jane, 200, "reviews-v1");
    let others = [
        DETAILS,
        RATINGS,
        to("ratings:9080", "/ratings/0?debug=true"),
        to("ratings:9080", "/from-productpage"),
        to("ratings:9080", "/from-reviews"),
        with(
            "ratings:9080",
            "/",
            "x-canary: yes please\r\nx-present: 1\r\nuser-agent: Chrome/9\r\n",
        ),
    ];
    live.same(&others);

    // Another value of the header.
    live.edit("virtualservices.yaml", "exact: jason", "exact: jane");
    live.answers(jane, 200, "reviews-v2");
    live.answers(JASON, 200, "reviews-v1");
    // Another subset for the rest.
    live.edit("virtualservices.yaml", "subset: v1\n---", "subset: v3\n---");
    live.answers(REVIEWS, 200, "reviews-v3");
    live.answers(jane, 200, "reviews-v2");
    // The subset has other pods.
    live.edit("destinationrules.yaml", "version: v3", "version: v1");
    live.answers(REVIEWS, 200, "reviews-v1");
    // Without routes all pods of the service are meant.
    live.remove("virtualservices.yaml");
    live.add("balancing.yaml", ROUND_ROBIN);
    live.remove("destinationrules.yaml");
    live.draws(REVIEWS, &THIRDS);
    live.draws(jane, &THIRDS);
    live.same(&others);
}

#[test]
fn traffic_shifting() {
    let Some(live) = Live::start("04-traffic-shifting", &PRODUCTPAGE, &[]) else {
        return;
    };
    live.draws(REVIEWS, &[("reviews-v1", 50), ("reviews-v3", 50)]);
    live.draws(
        to("reviews:9080", "/canary"),
        &[("reviews-v1", 80), ("reviews-v2", 15), ("reviews-v3", 5)],
    );
    live.draws(to("reviews:9080", "/ratio"), &[("reviews-v1", 67), ("reviews-v3", 33)]);
    live.answers(to("reviews:9080", "/zero"), 200, "reviews-v1");
    live.draws(DETAILS, &[("details-v1", 99), ("ratings-v1", 1)]);

    // From half and half to all of it, by steps.
    let weights = |first: u32, third: u32| {
        let to = |subset: &str, weight: u32| format!("        subset: {subset}\n      weight: {weight}\n");
        let between = "    - destination:\n        host: reviews\n";
        format!("{}{between}{}---", to("v1", first), to("v3", third))
    };
    live.edit("virtualservices.yaml", &weights(50, 50), &weights(20, 80));
    live.draws(REVIEWS, &[("reviews-v1", 20), ("reviews-v3", 80)]);
    live.edit("virtualservices.yaml", &weights(20, 80), &weights(0, 100));
    live.answers(REVIEWS, 200, "reviews-v3");
    live.edit("virtualservices.yaml", &weights(0, 100), &weights(70, 30));
    live.draws(REVIEWS, &[("reviews-v1", 70), ("reviews-v3", 30)]);
    // The canary gets everything.
    live.edit("virtualservices.yaml", "weight: 80", "weight: 0");
    live.edit("virtualservices.yaml", "weight: 15", "weight: 100");
    live.edit("virtualservices.yaml", "weight: 5\n", "weight: 0\n");
    live.answers(to("reviews:9080", "/canary"), 200, "reviews-v2");
}

#[test]
fn ingress_gateway() {
    let Some(live) = Live::start("14-ingress-http", &INGRESS, &[]) else {
        return;
    };
    live.answers(PAGE, 200, "productpage-v1");
    live.answers(to("bookinfo.example.com", "/static/a.css"), 200, "productpage-v1");
    live.answers(to("bookinfo.example.com", "/productpage/1"), 404, "");
    live.answers(to("other.example.com", "/productpage"), 404, "");
    live.answers(to("reviews.bookinfo.example.com", "/external/1"), 404, "");
    live.among(with("reviews.bookinfo.example.com", "/external/1", KEY), &ALL);
    // In plain text there is nothing but the way to HTTPS.
    let away = live.answers(to("secure.example.com", "/a?b=c"), 301, "");
    assert_eq!(away.location.as_deref(), Some("https://secure.example.com/a?b=c"));

    // Another path, and another value of a header.
    live.edit("gateway.yaml", "exact: /productpage", "exact: /page");
    live.answers(to("bookinfo.example.com", "/page"), 200, "productpage-v1");
    live.answers(PAGE, 404, "");
    live.edit("gateway.yaml", "exact: secret", "exact: open");
    live.answers(with("reviews.bookinfo.example.com", "/external/1", KEY), 404, "");
    // Another host at the gateway: the routes of the old one have no gateway, until they have that host too.
    live.edit(
        "gateway.yaml",
        "    - bookinfo.example.com\n    - \"*",
        "    - shop.example.com\n    - \"*",
    );
    live.answers(to("bookinfo.example.com", "/page"), 404, "");
    live.answers(to("shop.example.com", "/page"), 404, "");
    live.edit(
        "gateway.yaml",
        "  - bookinfo.example.com\n  gateways:",
        "  - shop.example.com\n  gateways:",
    );
    live.answers(to("shop.example.com", "/page"), 200, "productpage-v1");
    live.answers(to("bookinfo.example.com", "/page"), 404, "");
    // The redirect goes, and the routes behind it serve.
    live.edit("gateway.yaml", "    tls:\n      httpsRedirect: true\n", "");
    live.answers(to("secure.example.com", "/a?b=c"), 200, "productpage-v1");
}
