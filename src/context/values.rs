//! What contexts carry: a list from the innermost value outwards, shared by all contexts that come from the same one.
//!
//! A list and no map: a context has a handful of values at most, and to add one copies nothing.

use std::{any::Any, sync::Arc};

/// A value, and those around it.
pub(crate) struct Values {
    value: Box<dyn Any + Send + Sync>,
    /// Taken when it dies.
    outer: Option<Arc<Values>>,
}

impl Values {
    pub(super) fn new<V: Send + Sync + 'static>(value: V, outer: Option<Arc<Values>>) -> Arc<Values> {
        Arc::new(Values { value: Box::new(value), outer })
    }

    /// The innermost value of this type.
    pub(super) fn find<V: 'static>(innermost: Option<&Values>) -> Option<&V> {
        let mut next = innermost;
        while let Some(values) = next {
            if let Some(value) = values.value.downcast_ref() {
                return Some(value);
            }
            next = values.outer.as_deref();
        }
        None
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        // Without recursion, however many there are.
        let mut next = self.outer.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.outer.take();
        }
    }
}
