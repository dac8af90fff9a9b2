//! Faults: what is delayed or ended by chance is asked often, and nobody waits for seconds.

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::fault_delay::FaultDelaySecifier;
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::HttpFault;
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::google::protobuf::Duration;
use prost::Message as _;

use super::config;

const FILTER: &str = "envoy.filters.http.fault";

/// The longest delay that is waited for: both sides get this one in place of a longer one.
const LONGEST: Duration = Duration {
    seconds: 0,
    nanos: 50_000_000,
};

/// Whether a fault of a route comes by chance.
pub(crate) fn by_chance(route: &Route) -> bool {
    let Some(fault) = config::<HttpFault>(&route.typed_per_filter_config, FILTER) else {
        return false;
    };
    let some = |percentage: Option<&FractionalPercent>| {
        percentage.is_some_and(|percentage| {
            let whole = [100, 10_000, 1_000_000][usize::try_from(percentage.denominator).unwrap_or_default().min(2)];
            (1..whole).contains(&percentage.numerator)
        })
    };
    some(fault.abort.as_ref().and_then(|abort| abort.percentage.as_ref()))
        || some(fault.delay.as_ref().and_then(|delay| delay.percentage.as_ref()))
}

/// Makes delays short.
pub(crate) fn hurry(route: &mut Route) {
    let Some(mut fault) = config::<HttpFault>(&route.typed_per_filter_config, FILTER) else {
        return;
    };
    if let Some(delay) = &mut fault.delay
        && let Some(FaultDelaySecifier::FixedDelay(delay)) = &mut delay.fault_delay_secifier
        && (delay.seconds, delay.nanos) > (LONGEST.seconds, LONGEST.nanos)
    {
        *delay = LONGEST;
        if let Some(any) = route.typed_per_filter_config.get_mut(FILTER) {
            any.value = fault.encode_to_vec();
        }
    }
}
