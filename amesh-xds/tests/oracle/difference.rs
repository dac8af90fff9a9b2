//! Where this client asks otherwise than Envoy, each with the words of `docs/xds.md` that say why.

use amesh_xds::session::Protocol::{self, Delta, StateOfTheWorld};

/// A step in which the two ask differently.
pub(crate) struct Difference {
    pub(crate) protocol: Protocol,
    pub(crate) step: &'static str,
    pub(crate) envoy: &'static [&'static str],
    pub(crate) amesh: &'static [&'static str],
    /// What the page says.
    pub(crate) because: &'static str,
}

const VALID_ONES_APPLY: &str = "the valid ones of a bad response apply";
const ROUTES_OF_DRAINING_LISTENERS: &str = "Envoy goes on asking for the routes of a listener that was replaced or \
    removed until it has drained; here they are given up with the change";
const NOTHING_IS_ASKED_AGAIN: &str = "Nothing is asked again here, because what is held is still right";
const SHARED_ENDPOINTS: &str = "Nor is anything asked again when a second cluster takes endpoints that are held, or \
    gives them up";
const TWICE: &str = "Envoy takes endpoints that are there twice in one response of state of the world";

/// In the order of the script.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        protocol: StateOfTheWorld,
        step: "a bad cluster beside a new good one",
        envoy: &["CDS refuses at 1"],
        amesh: &[
            "EDS answers at 1 +a +b +c",
            "CDS refuses at 1",
            "EDS answers at 2 +a +b +c",
        ],
        because: VALID_ONES_APPLY,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "the bad cluster mended",
        envoy: &[
            "EDS answers at 1 +a +b +bad +c",
            "CDS answers at 3",
            "EDS answers at 3 +a +b +bad +c",
        ],
        amesh: &[
            "EDS answers at 2 +a +b +bad +c",
            "CDS answers at 3",
            "EDS answers at 3 +a +b +bad +c",
        ],
        because: VALID_ONES_APPLY,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "a listener with other routes",
        envoy: &[
            "RDS answers at 8 +other +r",
            "LDS answers at 9",
            "RDS answers at 9 +other +r",
            "RDS answers at 9 +other",
        ],
        amesh: &["RDS answers at 8 +other", "LDS answers at 9", "RDS answers at 9 +other"],
        because: ROUTES_OF_DRAINING_LISTENERS,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "a second cluster with the same endpoints",
        envoy: &[
            "EDS answers at 12 +a +b +bad +c",
            "CDS answers at 13",
            "EDS answers at 13 +a +b +bad +c",
        ],
        amesh: &["CDS answers at 13"],
        because: SHARED_ENDPOINTS,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "the second cluster goes",
        envoy: &[
            "EDS answers at 13 +a +b +bad +c",
            "CDS answers at 14",
            "EDS answers at 14 +a +b +bad +c",
        ],
        amesh: &["CDS answers at 14"],
        because: SHARED_ENDPOINTS,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "endpoints twice in one response",
        envoy: &["EDS answers at 21 +a +b +bad +c"],
        amesh: &["EDS refuses at 19 +a +b +bad +c"],
        because: TWICE,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "another version of a cluster",
        envoy: &[
            "EDS answers at 21 +a +b +bad +c",
            "CDS answers at 22",
            "EDS answers at 22 +a +b +bad +c",
        ],
        amesh: &["CDS answers at 22"],
        because: NOTHING_IS_ASKED_AGAIN,
    },
    Difference {
        protocol: StateOfTheWorld,
        step: "all listeners go",
        envoy: &["LDS answers at 27", "RDS answers at 26"],
        amesh: &["RDS answers at 26", "LDS answers at 27"],
        because: ROUTES_OF_DRAINING_LISTENERS,
    },
    Difference {
        protocol: Delta,
        step: "a bad cluster beside a new good one",
        envoy: &["CDS refuses"],
        amesh: &["EDS asks +c", "CDS refuses", "EDS answers"],
        because: VALID_ONES_APPLY,
    },
    Difference {
        protocol: Delta,
        step: "the bad cluster mended",
        envoy: &["EDS asks +bad +c", "CDS answers", "EDS answers"],
        amesh: &["EDS asks +bad", "CDS answers", "EDS answers"],
        because: VALID_ONES_APPLY,
    },
    Difference {
        protocol: Delta,
        step: "a listener with other routes",
        envoy: &["RDS asks +other", "LDS answers", "RDS answers", "RDS asks -r"],
        amesh: &["RDS asks +other -r", "LDS answers", "RDS answers"],
        because: ROUTES_OF_DRAINING_LISTENERS,
    },
    Difference {
        protocol: Delta,
        step: "all listeners go",
        envoy: &["LDS answers", "RDS asks -other"],
        amesh: &["RDS asks -other", "LDS answers"],
        because: ROUTES_OF_DRAINING_LISTENERS,
    },
];
