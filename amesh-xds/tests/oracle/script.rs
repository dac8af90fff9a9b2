//! What the control plane does, step by step, and the resources that it sends.

use amesh_xds::session::Protocol::{self, Delta, StateOfTheWorld};

use crate::plane::Plane;
use crate::resource::{
    bad_cluster, bad_endpoints, bad_listener, bad_routes, cluster, cluster_of, endpoints, listener, routes,
};
use crate::{CDS, EDS, LDS, RDS, SDS};

/// One thing that a control plane does.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// The variants in which it can be done.
    pub(crate) in_variants: &'static [Protocol],
    pub(crate) act: fn(&Plane, Protocol),
}

const BOTH: &[Protocol] = &[StateOfTheWorld, Delta];

/// What the control plane has when the client connects, and what it does then.
pub(crate) struct Play {
    /// The name of the first step: the client connects.
    pub(crate) start: &'static str,
    pub(crate) begin: fn(&Plane),
    pub(crate) steps: &'static [Step],
}

pub(crate) const PLAYS: [Play; 2] = [
    Play {
        start: "start",
        begin: |plane| {
            plane.version("1");
            some_mesh(plane);
        },
        steps: STEPS,
    },
    Play {
        start: "start with nothing",
        begin: |plane| plane.version("1"),
        steps: FROM_NOTHING,
    },
];

fn some_mesh(plane: &Plane) {
    for (name, port) in [("a", 1001), ("b", 1002)] {
        cluster(plane, name, 1);
        endpoints(plane, name, port);
    }
    listener(plane, "l", "r");
    routes(plane, "r", "a");
}

const FROM_NOTHING: &[Step] = &[
    Step {
        name: "clusters come",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("2");
            some_mesh(plane);
            plane.push(CDS, &["a", "b"]);
        },
    },
    Step {
        name: "a listener comes",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("3");
            plane.push(LDS, &["l"]);
        },
    },
];

const STEPS: &[Step] = &[
    Step {
        name: "a bad cluster beside a new good one",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("2");
            bad_cluster(plane, "bad");
            cluster(plane, "c", 1);
            endpoints(plane, "c", 1003);
            plane.push(CDS, &["bad", "c"]);
        },
    },
    Step {
        name: "the bad cluster mended",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("3");
            cluster(plane, "bad", 1);
            cluster(plane, "c", 1);
            endpoints(plane, "bad", 1004);
            plane.push(CDS, &["bad", "c"]);
        },
    },
    Step {
        name: "a cluster more",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("4");
            cluster(plane, "d", 1);
            endpoints(plane, "d", 1005);
            plane.push(CDS, &["d"]);
        },
    },
    Step {
        name: "a cluster less",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("5");
            plane.remove(CDS, "d");
            plane.remove(EDS, "d");
            plane.push(CDS, &["d"]);
        },
    },
    Step {
        name: "other routes",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("6");
            routes(plane, "r", "b");
            plane.push(RDS, &["r"]);
        },
    },
    Step {
        name: "bad routes",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("7");
            bad_routes(plane, "r");
            plane.push(RDS, &["r"]);
        },
    },
    Step {
        name: "the bad routes mended",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("8");
            routes(plane, "r", "c");
            plane.push(RDS, &["r"]);
        },
    },
    Step {
        name: "a listener with other routes",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("9");
            routes(plane, "other", "a");
            listener(plane, "l", "other");
            plane.push(LDS, &["l"]);
        },
    },
    Step {
        name: "other endpoints",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("10");
            endpoints(plane, "a", 2001);
            plane.push(EDS, &["a"]);
        },
    },
    Step {
        name: "bad endpoints beside good ones",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("11");
            bad_endpoints(plane, "a");
            endpoints(plane, "b", 2002);
            plane.push(EDS, &["a", "b"]);
        },
    },
    Step {
        name: "the bad endpoints mended",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("12");
            endpoints(plane, "a", 2001);
            endpoints(plane, "b", 2002);
            plane.push(EDS, &["a", "b"]);
        },
    },
    Step {
        name: "a second cluster with the same endpoints",
        in_variants: BOTH,
        act: |plane, protocol| {
            plane.version("13");
            cluster_of(plane, "second", "a", 1);
            plane.push(CDS, &["second"]);
            if protocol == Delta {
                // Envoy has asked for them already and waits until they come again.
                endpoints(plane, "a", 2001);
                plane.push(EDS, &["a"]);
            }
        },
    },
    Step {
        name: "the second cluster goes",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("14");
            plane.remove(CDS, "second");
            plane.push(CDS, &["second"]);
        },
    },
    Step {
        name: "the same clusters again",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("15");
            cluster(plane, "b", 1);
            plane.push(CDS, &["b"]);
        },
    },
    Step {
        name: "a bad listener beside a good one",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("16");
            bad_listener(plane, "faulty");
            listener(plane, "fresh", "other");
            plane.push(LDS, &["faulty", "fresh"]);
        },
    },
    Step {
        name: "both listeners go",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("17");
            plane.remove(LDS, "faulty");
            plane.remove(LDS, "fresh");
            plane.push(LDS, &["faulty", "fresh"]);
        },
    },
    Step {
        name: "a type that nobody asked for, then endpoints",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("18");
            plane.say(SDS, &[]);
            endpoints(plane, "a", 2003);
            plane.push(EDS, &["a"]);
        },
    },
    Step {
        name: "endpoints that nobody asked for",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("19");
            endpoints(plane, "stranger", 2004);
            plane.say(EDS, &["stranger"]);
            plane.remove(EDS, "stranger");
        },
    },
    Step {
        name: "a cluster twice in one response",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("20");
            plane.say(CDS, &["a", "b", "bad", "c", "c"]);
        },
    },
    Step {
        name: "endpoints twice in one response",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("21");
            plane.say(EDS, &["a", "a"]);
        },
    },
    Step {
        name: "another version of a cluster",
        in_variants: BOTH,
        act: |plane, protocol| {
            plane.version("22");
            cluster(plane, "a", 2);
            plane.push(CDS, &["a"]);
            if protocol == Delta {
                // Envoy asks for nothing and waits for this.
                endpoints(plane, "a", 2001);
                plane.push(EDS, &["a"]);
            }
        },
    },
    Step {
        name: "endpoints with nothing in them",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("23");
            plane.say(EDS, &[]);
        },
    },
    Step {
        name: "endpoints and routes that are in use go",
        in_variants: &[Delta],
        act: |plane, _| {
            plane.version("24");
            plane.remove(EDS, "b");
            plane.remove(RDS, "other");
            plane.push(EDS, &["b"]);
            plane.push(RDS, &["other"]);
        },
    },
    Step {
        name: "they come again",
        in_variants: &[Delta],
        act: |plane, _| {
            plane.version("25");
            endpoints(plane, "b", 1002);
            routes(plane, "other", "a");
            // A server that said that they are gone takes them for wanted still.
            plane.push(EDS, &["b"]);
            plane.push(RDS, &["other"]);
        },
    },
    Step {
        name: "a stream that ends in good order",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("26");
            plane.hang_up();
        },
    },
    Step {
        name: "all listeners go",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("27");
            plane.remove(LDS, "l");
            plane.push(LDS, &["l"]);
        },
    },
    Step {
        name: "all clusters go",
        in_variants: BOTH,
        act: |plane, _| {
            plane.version("28");
            for name in ["a", "b", "bad", "c"] {
                plane.remove(CDS, name);
                plane.remove(EDS, name);
            }
            plane.push(CDS, &["a", "b", "bad", "c"]);
        },
    },
];
