//! Things that are looked up by their names: a list of 400,000 cases of an enum that has 10,000 of them is no work.

use std::ops::{Deref, DerefMut};

/// Something with a name.
pub trait Named {
    /// The name, of which there is one among its like.
    fn name(&self) -> &str;
}

/// Up to so many are looked through one by one.
const FEW: usize = 16;

/// Things in the order of their declaration.
#[derive(Debug, Clone, PartialEq)]
pub struct ByName<T> {
    items: Vec<T>,
    /// The places of all items, in the order of their names; of few there is no need for it.
    order: Vec<usize>,
}

impl<T: Named> From<Vec<T>> for ByName<T> {
    fn from(items: Vec<T>) -> Self {
        let mut order: Vec<usize> = if items.len() > FEW { (0..items.len()).collect() } else { Vec::new() };
        order.sort_by(|one, other| items[*one].name().cmp(items[*other].name()));
        Self { items, order }
    }
}

impl<T: Named> ByName<T> {
    /// The place of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        if self.order.is_empty() {
            return self.items.iter().position(|item| item.name() == name);
        }
        let found = self.order.binary_search_by(|place| self.items[*place].name().cmp(name));
        found.ok().map(|index| self.order[index])
    }

    /// The thing of a name.
    pub fn named(&self, name: &str) -> Option<&T> {
        self.position(name).map(|place| &self.items[place])
    }
}

impl<T> Deref for ByName<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

/// For descriptions, which come later; a name stays as it is.
impl<T> DerefMut for ByName<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}
