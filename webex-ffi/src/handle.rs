//! Handles: numbers that stand for objects. A stale one only leads to an error status.
//!
//! ```text
//!   63      56 55           32 31                0
//!  ┌──────────┬───────────────┬──────────────────┐
//!  │   kind   │  generation   │      index       │    0 is no handle
//!  └──────────┴───────────────┴──────────────────┘
//! ```
//!
//! The index is a slot of the process-wide registry. The generation increases each time the slot is
//! reused, so that a freed handle never means another object. A slot that has used up its
//! generations is retired.

use std::{any::Any, sync::Arc};

use once_cell::sync::Lazy;
use parking_lot::RwLock;

use crate::{failure::Failure, status::Status};

/// Handle of a client. 0 is none.
pub type ClientHandle = u64;

/// The kind of object that a handle stands for. The numbers are part of the handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Client = 1,
    Calling = 2,
    Line = 3,
    Subscription = 4,
}

/// An object that C holds by a handle.
pub(crate) trait Object: Any + Send + Sync {
    const KIND: Kind;
}

/// Gives a new object a handle. `make` gets the handle, and must not use the registry.
pub(crate) fn insert<T: Object>(make: impl FnOnce(u64) -> T) -> Result<(u64, Arc<T>), Failure> {
    REGISTRY.write().insert(make)
}

/// Returns the object of a handle.
pub(crate) fn get<T: Object>(handle: u64) -> Result<Arc<T>, Failure> {
    REGISTRY.read().get(handle)
}

/// Ends a handle and returns its object, which lives on while calls in progress use it.
pub(crate) fn remove<T: Object>(handle: u64) -> Result<Arc<T>, Failure> {
    REGISTRY.write().remove(handle)
}

static REGISTRY: Lazy<RwLock<Registry>> = Lazy::new(|| RwLock::new(Registry::new(MAX_GENERATION)));

/// Generations have 24 bits.
const MAX_GENERATION: u32 = (1 << 24) - 1;

struct Registry {
    slots: Vec<Slot>,
    free: Vec<u32>,
    last_generation: u32,
}

struct Slot {
    generation: u32,
    object: Option<(Kind, Arc<dyn Any + Send + Sync>)>,
}

impl Registry {
    fn new(last_generation: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), last_generation }
    }

    fn insert<T: Object>(&mut self, make: impl FnOnce(u64) -> T) -> Result<(u64, Arc<T>), Failure> {
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.add_slot()?,
        };
        let slot = &mut self.slots[index as usize];
        slot.generation += 1;
        let handle = pack(T::KIND, slot.generation, index);
        let object = Arc::new(make(handle));
        slot.object = Some((T::KIND, Arc::clone(&object) as _));
        Ok((handle, object))
    }

    fn add_slot(&mut self) -> Result<u32, Failure> {
        let index = u32::try_from(self.slots.len())
            .map_err(|_| Failure::new(Status::Internal, "there are no more handles"))?;
        self.slots.push(Slot { generation: 0, object: None });
        Ok(index)
    }

    fn get<T: Object>(&self, handle: u64) -> Result<Arc<T>, Failure> {
        let (generation, index) = unpack(handle);
        let slot = self.slots.get(index as usize).filter(|slot| slot.generation == generation);
        let (kind, object) = slot.and_then(|slot| slot.object.as_ref()).ok_or_else(|| {
            Failure::new(Status::InvalidHandle, "the handle is none, or was freed")
        })?;
        let object = Arc::clone(object).downcast::<T>().ok();
        // The kind in the number must match, too.
        object.filter(|_| handle == pack(T::KIND, generation, index)).ok_or_else(|| {
            let message = format!("the handle is of kind {kind:?}, not {:?}", T::KIND);
            Failure::new(Status::InvalidHandle, message)
        })
    }

    fn remove<T: Object>(&mut self, handle: u64) -> Result<Arc<T>, Failure> {
        let object = self.get::<T>(handle)?;
        let (generation, index) = unpack(handle);
        self.slots[index as usize].object = None;
        if generation < self.last_generation {
            self.free.push(index);
        }
        Ok(object)
    }
}

fn pack(kind: Kind, generation: u32, index: u32) -> u64 {
    ((kind as u64) << 56) | (u64::from(generation) << 32) | u64::from(index)
}

fn unpack(handle: u64) -> (u32, u32) {
    ((handle >> 32) as u32 & MAX_GENERATION, handle as u32)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[derive(Debug)]
    struct Door(u64);
    impl Object for Door {
        const KIND: Kind = Kind::Client;
    }

    #[derive(Debug)]
    struct Window;
    impl Object for Window {
        const KIND: Kind = Kind::Line;
    }

    fn is_invalid<T: Debug>(outcome: Result<T, Failure>) -> bool {
        outcome.is_err_and(|failure| failure.status == Status::InvalidHandle)
    }

    #[test]
    fn an_object_knows_its_handle_and_a_copy_outlives_it() {
        let mut registry = Registry::new(MAX_GENERATION);
        let (handle, _) = registry.insert(Door).unwrap();
        let in_use = registry.get::<Door>(handle).unwrap();
        assert_eq!(in_use.0, handle);
        registry.remove::<Door>(handle).unwrap();
        assert_eq!(in_use.0, handle);
    }

    #[test]
    fn a_freed_handle_stays_invalid_when_its_slot_is_used_anew() {
        let mut registry = Registry::new(MAX_GENERATION);
        let (old, _) = registry.insert(Door).unwrap();
        registry.remove::<Door>(old).unwrap();
        assert!(is_invalid(registry.remove::<Door>(old)));
        let (new, _) = registry.insert(Door).unwrap();
        assert_eq!(unpack(old).1, unpack(new).1, "the slot is used again");
        assert!(is_invalid(registry.get::<Door>(old)));
        assert!(is_invalid(registry.remove::<Door>(old)));
        assert!(registry.get::<Door>(new).is_ok());
    }

    #[test]
    fn the_wrong_kind_is_invalid_and_says_so() {
        let mut registry = Registry::new(MAX_GENERATION);
        let (door, _) = registry.insert(Door).unwrap();
        let (window, _) = registry.insert(|_| Window).unwrap();
        let failure = registry.get::<Window>(door).unwrap_err();
        assert_eq!(failure.status, Status::InvalidHandle);
        assert!(failure.message.contains("kind Client, not Line"), "{}", failure.message);
        assert!(is_invalid(registry.remove::<Door>(window)));
        assert!(registry.get::<Window>(window).is_ok(), "a refused removal removes nothing");
        let forged = door ^ ((Kind::Client as u64 ^ Kind::Line as u64) << 56);
        assert!(is_invalid(registry.get::<Door>(forged)));
    }

    #[test]
    fn numbers_that_were_never_handles_are_invalid() {
        let mut registry = Registry::new(MAX_GENERATION);
        let (door, _) = registry.insert(Door).unwrap();
        for number in [0, 1, u64::MAX, door + 1, door + (1 << 32), u64::from(u32::MAX)] {
            assert!(is_invalid(registry.get::<Door>(number)), "{number:#x}");
        }
    }

    #[test]
    fn a_slot_that_has_used_up_its_generations_is_retired() {
        let mut registry = Registry::new(2);
        let mut handles = Vec::new();
        for _ in 0..2 {
            let (handle, _) = registry.insert(Door).unwrap();
            registry.remove::<Door>(handle).unwrap();
            handles.push(handle);
        }
        let (next, _) = registry.insert(Door).unwrap();
        assert_eq!(
            handles.iter().map(|handle| unpack(*handle)).collect::<Vec<_>>(),
            [(1, 0), (2, 0)]
        );
        assert_eq!(unpack(next), (1, 1), "a new slot instead of generation 3");
        assert!(handles.iter().all(|handle| is_invalid(registry.get::<Door>(*handle))));
    }
}
