//! How many processes in a row ended while they first touched the dictionary of the configuration.
//!
//! A process that is killed while nginx changes its own lists there can leave them broken, and whoever touches the broken
//! place crashes, again and again, since a new process begins with the same. nginx mends that with a restart alone. Until
//! then the best is not to touch it: workers that hold the last publish go on with it.

use super::{Failure, Publisher};
use crate::zone::Zone;

const DEATHS: &str = "deaths";

/// So many deaths in a row are no coincidence. An agent that crashes is back in some ten milliseconds.
pub(super) const MOST: u32 = if cfg!(test) { 4 } else { 32 };

/// Those who died before this process; `None` when it has lived through what they died of.
#[derive(Debug)]
pub(super) struct Peril(Option<u32>);

impl Peril {
    /// Fails where there were too many.
    pub(super) fn read(version: &impl Zone) -> Result<Self, Failure> {
        let deaths = version.number(DEATHS).map_err(Failure::at(DEATHS))?.unwrap_or(0.0);
        if deaths >= f64::from(MOST) {
            return Err(Failure::Damaged);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small whole number"
        )]
        Ok(Self(Some(deaths as u32)))
    }

    /// To be called before the dictionary is touched: if this process ends there its successor counts it.
    pub(super) fn enter(&self, version: &impl Zone) -> Result<(), Failure> {
        self.0.map_or(Ok(()), |deaths| note(version, deaths + 1))
    }

    /// To be called after something that proves little: the deaths before still count.
    pub(super) fn leave(&self, version: &impl Zone) -> Result<(), Failure> {
        self.0.map_or(Ok(()), |deaths| note(version, deaths))
    }

    /// To be called when the whole dictionary has been compared, or a call of it has failed in good order.
    pub(super) fn end<T>(&mut self, version: &impl Zone, published: &Result<T, Failure>) {
        let ending = published.as_ref().is_err_and(Failure::is_final);
        if self.0.is_some() && !ending && note(version, 0).is_ok() {
            self.0 = None;
        }
    }
}

/// A panic is no death: this process lives, and begins anew.
impl<Z: Zone> Drop for Publisher<Z> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.peril.leave(&self.version);
        }
    }
}

fn note(version: &impl Zone, deaths: u32) -> Result<(), Failure> {
    version
        .set_number(DEATHS, f64::from(deaths))
        .map_err(Failure::at(DEATHS))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use amesh_core::apisix::Objects;

    use super::*;
    use crate::zone::Error;
    use crate::zone::fake::{World, zones};

    const NOW: u64 = 1_764_000_000_000;

    /// A process that begins and publishes; it may die in some call of the one or of the other.
    fn process(world: &RefCell<World>, deaths: [Option<usize>; 2]) -> Result<(), Failure> {
        let die = |death: Option<usize>| {
            let calls = world.borrow().calls;
            world.borrow_mut().end = death.map(|death| calls + death);
        };
        let [config, version] = zones(world, |_| {});
        die(deaths[0]);
        let lived = Publisher::adopt(config, version, "somebody").and_then(|mut publisher| {
            publisher.want_only(&Objects::new());
            die(deaths[1]);
            publisher.publish(NOW).map(drop)
        });
        die(None);
        lived
    }

    fn world() -> RefCell<World> {
        RefCell::new(World {
            capacity: 1 << 20,
            ..World::default()
        })
    }

    fn deaths(world: &RefCell<World>) -> f64 {
        let [_, version] = zones(world, |_| {});
        version.number(DEATHS).expect("it can be read").unwrap_or_default()
    }

    #[test]
    fn after_too_many_deaths_in_a_row_the_dictionary_is_left_alone() {
        let world = world();
        process(&world, [None, None]).expect("it is published");
        let published = world.borrow().config.clone();
        // At its first look at the manifest, and at that for the sentinel.
        let deaths = [[Some(5), None], [None, Some(2)]];
        for deaths in deaths.into_iter().cycle().take(MOST as usize) {
            let died = process(&world, deaths);
            assert!(
                matches!(
                    died,
                    Err(Failure::Store {
                        error: Error::Closed,
                        ..
                    })
                ),
                "{died:?}"
            );
        }
        let (config, writes) = (world.borrow().config.clone(), world.borrow().writes);
        assert_eq!(process(&world, [None, None]), Err(Failure::Damaged));
        assert_eq!(world.borrow().writes, writes);
        assert_eq!(config, published);
    }

    #[test]
    fn one_that_lives_through_a_publish_ends_the_row() {
        let world = world();
        for _ in 1..MOST {
            process(&world, [Some(5), None]).expect_err("it died");
        }
        process(&world, [None, None]).expect("it is published");
        assert!(deaths(&world).abs() < f64::EPSILON);
    }

    #[test]
    fn one_that_ends_before_it_has_anything_to_publish_is_no_death() {
        let world = world();
        for _ in 0..MOST {
            let [config, version] = zones(&world, |_| {});
            Publisher::adopt(config, version, "somebody").expect("it is taken over");
        }
        assert!(deaths(&world).abs() < f64::EPSILON);
    }

    #[test]
    fn a_panic_in_the_middle_of_a_publish_is_no_death() {
        let world = world();
        let bug = Cell::new(true);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let [config, version] = zones(&world, |world| {
                let now = world.config.contains_key("/_sentinel");
                assert!(!(now && bug.replace(false)), "as it is wanted here");
            });
            let mut publisher = Publisher::adopt(config, version, "somebody").expect("it is taken over");
            publisher.want_only(&Objects::new());
            drop(publisher.publish(NOW));
        }));
        assert!(panicked.is_err());
        assert!(deaths(&world).abs() < f64::EPSILON);
    }
}
