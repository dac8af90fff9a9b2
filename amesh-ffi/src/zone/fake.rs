//! Two dictionaries in memory, that do what nginx's do when they are full, and that can fail or end at any call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::{Error, Space, Zone, footprint};

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(Vec<u8>),
    Number(f64),
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(_) => 8,
        }
    }
}

/// Keys and values.
pub(crate) type Content = BTreeMap<String, Value>;

/// The dictionaries, and what goes wrong.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) config: Content,
    pub(crate) version: Content,
    /// The size of the dictionary for the configuration.
    pub(crate) capacity: usize,
    /// How many calls there were.
    pub(crate) calls: usize,
    /// From this call on the process is dead.
    pub(crate) end: Option<usize>,
    /// These calls fail.
    pub(crate) fail: Range<usize>,
    /// At this call somebody else takes over.
    pub(crate) usurp: Option<usize>,
    /// How many changes there were when somebody else took over.
    pub(crate) usurped: Option<usize>,
    /// A change of this key's size fails although there seems to be room.
    pub(crate) deceit: Option<String>,
    /// How many calls changed something.
    pub(crate) writes: usize,
}

/// One of the dictionaries. `after` is told of every change.
pub(crate) struct Fake<'w> {
    world: &'w RefCell<World>,
    which: fn(&mut World) -> &mut Content,
    limited: bool,
    after: Rc<dyn Fn(&World) + 'w>,
}

/// The dictionary for the configuration and that for the version.
pub(crate) fn zones<'w>(world: &'w RefCell<World>, after: impl Fn(&World) + 'w) -> [Fake<'w>; 2] {
    let after: Rc<dyn Fn(&World) + 'w> = Rc::new(after);
    let zone = |which, limited| Fake {
        world,
        which,
        limited,
        after: Rc::clone(&after),
    };
    [
        zone(|world| &mut world.config, true),
        zone(|world| &mut world.version, false),
    ]
}

fn used(content: &Content) -> usize {
    content
        .iter()
        .map(|(key, value)| footprint(key.len(), value.len()))
        .sum()
}

impl Fake<'_> {
    fn call(&self) -> Result<(), Error> {
        let mut world = self.world.borrow_mut();
        let call = world.calls;
        world.calls += 1;
        if world.end.is_some_and(|end| call >= end) {
            return Err(Error::Closed);
        }
        if world.usurp.is_some_and(|usurp| call >= usurp) {
            world.usurp = None;
            world.usurped = Some(world.writes);
            world
                .version
                .insert("owner".to_owned(), Value::Text(b"usurper".to_vec()));
        }
        if world.fail.contains(&call) {
            return Err(Error::Other("it fails".to_owned()));
        }
        Ok(())
    }

    fn store(&self, key: &str, value: Option<Value>) -> Result<(), Error> {
        {
            // A process that is killed in the middle of an exchange leaves neither value. What is said of that in
            // docs/dictionary.md for objects would make every reader here miss one.
            let mut world = self.world.borrow_mut();
            if world.end == Some(world.calls) && key.starts_with("/_manifest/") {
                (self.which)(&mut world).remove(key);
            }
        }
        self.call()?;
        let result = {
            let mut world = self.world.borrow_mut();
            world.writes += 1;
            let capacity = if self.limited { world.capacity } else { usize::MAX };
            let deceived = world.deceit.as_deref() == Some(key);
            let content = (self.which)(&mut world);
            let before = content.remove(key);
            match value {
                None => Ok(()),
                Some(value) => {
                    let same = before.is_some_and(|before| before.len() == value.len());
                    let fits = used(content) + footprint(key.len(), value.len()) <= capacity;
                    if same || (fits && !deceived) {
                        content.insert(key.to_owned(), value);
                        Ok(())
                    } else {
                        world.deceit = None;
                        Err(Error::Full)
                    }
                }
            }
        };
        (self.after)(&self.world.borrow());
        result
    }

    fn fetch(&self, key: &str) -> Result<Option<Value>, Error> {
        self.call()?;
        Ok((self.which)(&mut self.world.borrow_mut()).get(key).cloned())
    }
}

impl Zone for Fake<'_> {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let value = self.fetch(key)?;
        Ok(value.and_then(|value| match value {
            Value::Text(text) => Some(text),
            Value::Number(_) => None,
        }))
    }

    fn number(&self, key: &str) -> Result<Option<f64>, Error> {
        let value = self.fetch(key)?;
        Ok(value.and_then(|value| match value {
            Value::Number(number) => Some(number),
            Value::Text(_) => None,
        }))
    }

    fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.store(key, Some(Value::Text(value.to_vec())))
    }

    fn set_number(&self, key: &str, value: f64) -> Result<(), Error> {
        self.store(key, Some(Value::Number(value)))
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.store(key, None)
    }

    fn space(&self) -> Option<Space> {
        let mut world = self.world.borrow_mut();
        let capacity = if self.limited { world.capacity } else { 1 << 20 };
        let used = used((self.which)(&mut world));
        Some(Space {
            capacity,
            free: capacity.saturating_sub(used),
        })
    }
}
