//! All parked tasks of a runtime: one waker each, so that they can be cancelled, listed and kept alive.
//!
//! A task enters at its first Pending and leaves when its future is dropped; one that is ready at once never comes here.
//! The waker also keeps alive a detached task whose own wakers are all gone: async-task would free it without dropping
//! its future.
//!
//! Entries stand in pages of 256 that belong to one worker each. Only the owner inserts, without a read-modify-write.
//! Whoever ends the task removes, with one swap.
//!
//! ```text
//! an entry's `data`   null      vacant, or being filled by the owner; `link` chains the vacant ones
//!                     BUSY      a visitor looks at it; `link` is still the vtable
//!                     else      the waker's data pointer; `link` is its vtable
//!
//! to remove  1 swap null. A pointer: the waker is ours, the index is free. BUSY: the visitor frees it
//! to visit   1 lock `visitors`   2 pointer -> BUSY by compare-exchange   3 look   4 BUSY -> pointer by
//!              compare-exchange. It fails: the entry was removed meanwhile; drop the waker, free the index
//! to free an index  the owner: chain it in the page. Anyone else: push it onto the page's `remote` stack; who makes that
//!              stack non-empty pushes the page onto its owner's `inbox`. Only the owner takes, whole stacks at a time, a
//!              page from the inbox first and then its indices, so a page is in the inbox at most once and no stack has
//!              an ABA
//! ```
//!
//! There is one visitor at a time, so BUSY is its own mark, and a page can be freed under the visitors' lock. An owner that frees
//! one while it works does not wait for that lock: if a visitor is there, the page stays on the `partial` list, where it may be
//! used again, and is marked as *left*. Left pages are freed when the owner next frees one, next takes from its
//! inbox, or is about to sleep, when it may wait. So a page that is not used again is left no longer than its owner works.
//!
//! Whoever looks at all goes page by page and lets the lock go in between, so an abort, which visits one entry, waits for 256
//! looks at most. What is done in a look should be copied out, and put into words afterwards.
//!
//! Costs: 16 bytes a task; insert one clone of the waker and no other read-modify-write; remove one swap, one more when
//! the remover is not the owner. Pages that empty are freed, all but one.

use super::Meta;
use std::{
    cell::UnsafeCell,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering},
    },
    task::{RawWakerVTable, Waker},
};

pub(crate) const PAGE: u32 = 256;
/// Pages per directory leaf, and leaves: together 2^30 tasks.
const LEAF: usize = 1 << 12;
const LEAVES: usize = 1 << 10;

/// The visitor's mark.
const BUSY: *mut () = ptr::without_provenance_mut(1);

/// How far the metadata lies behind the pointer in a waker. Measured at the first registration and compared at each, so
/// that a visitor can rely on it for whatever waker is in the table. Zero: not measured.
static META_OFFSET: AtomicUsize = AtomicUsize::new(0);

struct Entry {
    data: AtomicPtr<()>,
    /// The waker's vtable; in a vacant entry the next vacant offset plus one, as an address.
    link: AtomicPtr<()>,
}

struct Page {
    /// The worker that inserts here. Written once.
    owner: u16,
    number: u32,
    /// Touched by the owner's thread only.
    local: UnsafeCell<Local>,
    /// Offsets plus one that others freed: a stack through `link`.
    remote: AtomicU32,
    /// The next page in the owner's inbox, number plus one. Written by who pushes the page there.
    next: AtomicU32,
    entries: [Entry; PAGE as usize],
}

struct Local {
    /// First vacant offset plus one.
    free: u32,
    /// Entries that are not known to be vacant.
    used: u32,
    /// Whether the page is on the owner's `partial` list.
    partial: bool,
}

/// A worker's own side of the registry: which pages it inserts into. Only its thread touches it.
#[derive(Default)]
pub(crate) struct Owned {
    current: Option<NonNull<Page>>,
    /// Pages with vacant entries, other than `current`.
    partial: Vec<NonNull<Page>>,
    /// Among them may be several that are empty: a visitor was there when they were to be freed.
    left: bool,
}

// SAFETY: the pointers are to pages that live in the registry; an `Owned` is used by one thread at a time, and handing
// it to another (a worker's place that is taken over by a new thread) happens under a lock.
unsafe impl Send for Owned {}

type Leaf = [AtomicPtr<Page>; LEAF];

/// See the head of this file.
pub(crate) struct Registry {
    directory: [AtomicPtr<Leaf>; LEAVES],
    /// Held by the one visitor, and to free a page.
    visitors: Mutex<()>,
    numbers: Mutex<Numbers>,
    /// One per worker: pages with remotely freed entries, a stack through `next`.
    inboxes: Box<[AtomicU32]>,
}

#[derive(Default)]
struct Numbers {
    next: u32,
    free: Vec<u32>,
}

// SAFETY: `Page::local` is the only part that is not atomic, and only the owner's thread touches it (the callers of the
// unsafe methods promise to be it).
unsafe impl Sync for Registry {}
// SAFETY: as above; pages belong to the registry.
unsafe impl Send for Registry {}

impl Registry {
    pub(crate) fn new(workers: usize) -> Registry {
        Registry {
            directory: [const { AtomicPtr::new(ptr::null_mut()) }; LEAVES],
            visitors: Mutex::new(()),
            numbers: Mutex::default(),
            inboxes: (0..workers).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Puts a waker of a task into the table.
    ///
    /// # Safety
    ///
    /// The caller is the thread of worker `worker`, whose `Owned` this is. `waker` is a waker of the task whose metadata
    /// `meta` is.
    pub(crate) unsafe fn insert(&self, worker: u16, owned: &mut Owned, waker: Waker, meta: &Meta) -> u32 {
        check_offset(&waker, meta);
        // SAFETY: pages in `owned` are alive: only this thread frees them.
        let page = match owned.current.map(|page| unsafe { page.as_ref() }) {
            // SAFETY: we are the owner.
            Some(page) if unsafe { (*page.local.get()).free } != 0 => page,
            // SAFETY: as above.
            _ => unsafe { self.next_page(worker, owned) },
        };
        // SAFETY: we are the owner, and nobody else holds a reference into `local`.
        let local = unsafe { &mut *page.local.get() };
        let offset = local.free - 1;
        let entry = &page.entries[offset as usize];
        local.free = entry.link.load(Ordering::Relaxed).addr() as u32;
        local.used += 1;
        let waker = ManuallyDrop::new(waker);
        entry.link.store(ptr::from_ref(waker.vtable()).cast_mut().cast(), Ordering::Relaxed);
        // Release, with the Acquire of a visitor and of a remover: they see the vtable.
        entry.data.store(waker.data().cast_mut(), Ordering::Release);
        page.number * PAGE + offset
    }

    /// Takes a task's waker out of the table; none if a visitor has it, who then drops it.
    ///
    /// # Safety
    ///
    /// `index` came from `insert` and is removed once. `mine` is `Some` only on the thread of that worker.
    pub(crate) unsafe fn remove(&self, index: u32, mine: Option<(u16, &mut Owned)>) -> Option<Waker> {
        let this = self.page(index / PAGE)?;
        // SAFETY: the entry is in use until it is freed below, and keeps the page alive.
        let page = unsafe { this.as_ref() };
        let offset = index % PAGE;
        let entry = &page.entries[offset as usize];
        let link = entry.link.load(Ordering::Relaxed);
        let data = entry.data.swap(ptr::null_mut(), Ordering::AcqRel);
        if data == BUSY {
            return None;
        }
        match mine {
            Some((worker, owned)) if worker == page.owner => {
                // SAFETY: we are the owner's thread.
                let local = unsafe { &mut *page.local.get() };
                entry.link.store(ptr::without_provenance_mut(local.free as usize), Ordering::Relaxed);
                local.free = offset + 1;
                local.used -= 1;
                // SAFETY: we are the owner's thread, and the page is used no more here.
                unsafe { self.settle(this, owned) };
            }
            // SAFETY: the swap has made the entry ours, and the page is used no more here.
            _ => unsafe { self.free_remotely(this, offset) },
        }
        // SAFETY: the parts of a waker that `insert` forgot; the swap made them ours.
        Some(unsafe { Waker::new(data, &*link.cast::<RawWakerVTable>()) })
    }

    /// Shows the waker and the metadata of one entry, if it is there.
    pub(crate) fn visit(&self, index: u32, look: impl FnMut(&Waker, &Meta)) {
        let _visitor = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = self.page(index / PAGE) {
            // SAFETY: while we hold the lock, no page is freed.
            self.visit_entry(unsafe { page.as_ref() }, index % PAGE, look);
        }
    }

    /// Shows every entry. Tasks that come or go meanwhile may be seen or not.
    pub(crate) fn visit_all(&self, mut look: impl FnMut(&Waker, &Meta)) {
        (0..self.numbers()).for_each(|number| self.visit_page(number, &mut look));
    }

    /// Pages have numbers below this.
    pub(crate) fn numbers(&self) -> u32 {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Shows the entries of one page, if it is there: [`PAGE`] at most, under one hold of the visitors' lock.
    pub(crate) fn visit_page(&self, number: u32, mut look: impl FnMut(&Waker, &Meta)) {
        let _visitor = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = self.page(number) {
            // SAFETY: while we hold the lock, no page is freed.
            let page = unsafe { page.as_ref() };
            (0..PAGE).for_each(|offset| self.visit_entry(page, offset, &mut look));
        }
    }

    /// Wakes one task, if it is there.
    pub(crate) fn wake(&self, index: u32) {
        let mut found = None;
        self.visit(index, |waker, _| found = Some(waker.clone()));
        // Outside of the visitors' lock: a wake may do anything.
        if let Some(waker) = found {
            waker.wake();
        }
    }

    /// Frees what others have returned, as far as whole pages are empty. For an owner that is about to sleep.
    ///
    /// # Safety
    ///
    /// The caller is the thread of worker `worker`, whose `Owned` this is.
    pub(crate) unsafe fn tidy(&self, worker: u16, owned: &mut Owned) {
        if self.inboxes[worker as usize].load(Ordering::Relaxed) != 0 {
            // SAFETY: passed on.
            unsafe { self.drain_inbox(worker, owned) };
        }
        if owned.left {
            let visitor = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: passed on.
            unsafe { self.free_left(owned, &visitor) };
        }
    }

    /// Pages that are allocated. Four KiB and a little each.
    #[cfg(all(test, not(gambol_loom)))]
    pub(crate) fn pages(&self) -> usize {
        let numbers = self.numbers.lock().unwrap();
        numbers.next as usize - numbers.free.len()
    }

    /// The caller holds the visitors' lock.
    fn visit_entry(&self, page: &Page, offset: u32, mut look: impl FnMut(&Waker, &Meta)) {
        let entry = &page.entries[offset as usize];
        let data = entry.data.load(Ordering::Acquire);
        if data.is_null() || entry.data.compare_exchange(data, BUSY, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        // Puts the waker back also when `look` panics.
        let guard = Visit { registry: self, page, offset, data };
        // SAFETY: the parts of a waker that `insert` forgot. While the entry is BUSY they are ours: the index is not
        // freed, so nothing else is written there.
        let waker = ManuallyDrop::new(unsafe {
            Waker::new(data, &*entry.link.load(Ordering::Relaxed).cast::<RawWakerVTable>())
        });
        // SAFETY: `insert` has checked for this very waker that its task's metadata lies there, and the waker keeps the
        // cell alive.
        let meta = unsafe { &*data.cast::<u8>().add(META_OFFSET.load(Ordering::Relaxed)).cast::<Meta>() };
        look(&waker, meta);
        drop(guard);
    }

    /// The page of that number, if there is one. A page is freed by its owner, under the visitors' lock, when none of its
    /// entries is in use. So it is alive for who has an entry in use, holds that lock, or is the owner.
    #[inline]
    fn page(&self, number: u32) -> Option<NonNull<Page>> {
        // SAFETY: leaves are never freed before the registry. Acquire, with the Release in `new_page`.
        let leaf = unsafe { self.directory[number as usize / LEAF].load(Ordering::Acquire).as_ref() }?;
        NonNull::new(leaf[number as usize % LEAF].load(Ordering::Acquire))
    }

    /// # Safety
    ///
    /// The page is alive, and the entry is in use and the caller's. The page may be freed before this returns: hence a
    /// pointer.
    unsafe fn free_remotely(&self, page: NonNull<Page>, offset: u32) {
        // SAFETY: it is alive until the index is on the stack, and longer if it goes into the inbox.
        let page = unsafe { page.as_ref() };
        let entry = &page.entries[offset as usize];
        let mut head = page.remote.load(Ordering::Relaxed);
        // From the moment that the index is on the stack the owner may free the page, unless we are about to put the
        // page into the inbox: then the owner waits for it there. So everything else is read before.
        let (number, owner) = (page.number, page.owner);
        loop {
            entry.link.store(ptr::without_provenance_mut(head as usize), Ordering::Relaxed);
            // Release, with the Acquire of the owner's swap: it sees the link.
            match page.remote.compare_exchange_weak(head, offset + 1, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        if head == 0 {
            let inbox = &self.inboxes[owner as usize];
            let mut first = inbox.load(Ordering::Relaxed);
            loop {
                page.next.store(first, Ordering::Relaxed);
                match inbox.compare_exchange_weak(first, number + 1, Ordering::Release, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(now) => first = now,
                }
            }
        }
    }

    /// # Safety
    ///
    /// The caller is the owner's thread.
    #[cold]
    unsafe fn next_page<'a>(&'a self, worker: u16, owned: &mut Owned) -> &'a Page {
        owned.current = None;
        // SAFETY: we are the owner.
        unsafe { self.drain_inbox(worker, owned) };
        let page = match owned.partial.pop() {
            Some(page) => page,
            None => self.new_page(worker),
        };
        owned.current = Some(page);
        // SAFETY: pages in `owned` are alive, and we are the owner.
        unsafe {
            (*page.as_ref().local.get()).partial = false;
            page.as_ref()
        }
    }

    fn new_page(&self, owner: u16) -> NonNull<Page> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.free.pop().unwrap_or(numbers.next);
        assert!((number as usize) < LEAF * LEAVES - 1, "more than 2^30 tasks are parked");
        let page = Box::new(Page {
            owner,
            number,
            local: UnsafeCell::new(Local { free: 1, used: 0, partial: false }),
            remote: AtomicU32::new(0),
            next: AtomicU32::new(0),
            entries: std::array::from_fn(|i| Entry {
                data: AtomicPtr::new(ptr::null_mut()),
                link: AtomicPtr::new(ptr::without_provenance_mut(if i as u32 + 1 < PAGE { i + 2 } else { 0 })),
            }),
        });
        let leaf = &self.directory[number as usize / LEAF];
        if leaf.load(Ordering::Acquire).is_null() {
            let new: Box<[AtomicPtr<Page>]> = (0..LEAF).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
            // Only under the lock on `numbers`, so nobody else puts one there.
            leaf.store(Box::into_raw(new).cast(), Ordering::Release);
        }
        let page = NonNull::from(Box::leak(page));
        // SAFETY: leaves are never freed before the registry.
        let leaf = unsafe { &*leaf.load(Ordering::Acquire) };
        leaf[number as usize % LEAF].store(page.as_ptr(), Ordering::Release);
        numbers.next = numbers.next.max(number + 1);
        page
    }

    /// # Safety
    ///
    /// The caller is the owner's thread.
    unsafe fn drain_inbox(&self, worker: u16, owned: &mut Owned) {
        let mut first = self.inboxes[worker as usize].swap(0, Ordering::Acquire);
        while first != 0 {
            let this = self.page(first - 1).expect("a page in the inbox is alive");
            // SAFETY: we are the owner.
            let page = unsafe { this.as_ref() };
            first = page.next.load(Ordering::Relaxed);
            let mut head = page.remote.swap(0, Ordering::Acquire);
            // SAFETY: we are the owner.
            let local = unsafe { &mut *page.local.get() };
            while head != 0 {
                let entry = &page.entries[head as usize - 1];
                let next = entry.link.load(Ordering::Relaxed).addr() as u32;
                entry.link.store(ptr::without_provenance_mut(local.free as usize), Ordering::Relaxed);
                local.free = head;
                local.used -= 1;
                head = next;
            }
            // SAFETY: we are the owner, and the page is used no more here.
            unsafe { self.settle(this, owned) };
        }
    }

    /// Entries of a page became vacant: lists it, or frees it if it is empty and another one has room.
    ///
    /// # Safety
    ///
    /// The caller is the owner's thread, and holds no reference to the page that it uses again: it may be freed. Hence a
    /// pointer.
    unsafe fn settle(&self, this: NonNull<Page>, owned: &mut Owned) {
        if owned.current == Some(this) {
            return;
        }
        // SAFETY: it is alive until it is freed below.
        let page = unsafe { this.as_ref() };
        // SAFETY: we are the owner.
        let local = unsafe { &mut *page.local.get() };
        if !local.partial {
            local.partial = true;
            owned.partial.push(this);
        }
        if local.used == 0 && owned.partial.len() > 1 {
            let visitor = match self.visitors.try_lock() {
                Ok(visitor) => visitor,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    owned.left = true;
                    return;
                }
            };
            if owned.left {
                // SAFETY: passed on. The page is among those that are freed.
                return unsafe { self.free_left(owned, &visitor) };
            }
            owned.partial.retain(|other| *other != this);
            self.free_page(page.number, &visitor);
        }
    }

    /// Frees all empty pages but one.
    ///
    /// # Safety
    ///
    /// As for `settle`.
    #[cold]
    unsafe fn free_left(&self, owned: &mut Owned, visitor: &MutexGuard<'_, ()>) {
        owned.left = false;
        let mut kept = false;
        owned.partial.retain(|page| {
            // SAFETY: pages in `owned` are alive; this one is freed at the end, when the reference is used no more.
            let page = unsafe { page.as_ref() };
            // SAFETY: we are the owner.
            let empty = unsafe { (*page.local.get()).used } == 0;
            let goes = empty && std::mem::replace(&mut kept, true);
            if goes {
                self.free_page(page.number, visitor);
            }
            !goes
        });
    }

    /// The caller is the owner of the page, which is empty, and holds the visitors' lock.
    #[cold]
    fn free_page(&self, number: u32, _visitor: &MutexGuard<'_, ()>) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the leaf of a live page is there.
        let leaf = unsafe { &*self.directory[number as usize / LEAF].load(Ordering::Acquire) };
        let page = leaf[number as usize % LEAF].swap(ptr::null_mut(), Ordering::AcqRel);
        numbers.free.push(number);
        // SAFETY: it came from `Box::leak`. No entry is in use and no visitor is here, so nobody can reach it.
        drop(unsafe { Box::from_raw(page) });
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for leaf in &mut self.directory {
            let leaf = *leaf.get_mut();
            if leaf.is_null() {
                continue;
            }
            // SAFETY: it came from a box of a slice of this length.
            for page in unsafe { Box::from_raw(leaf) }.iter_mut() {
                let page = *page.get_mut();
                if !page.is_null() {
                    // SAFETY: it came from `Box::leak`, and nobody else is left.
                    drop(unsafe { Box::from_raw(page) });
                }
            }
        }
    }
}

/// Ends a visit: the waker goes back, or is dropped if its task has left.
struct Visit<'a> {
    registry: &'a Registry,
    page: &'a Page,
    offset: u32,
    data: *mut (),
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let entry = &self.page.entries[self.offset as usize];
        let link = entry.link.load(Ordering::Relaxed);
        if entry.data.compare_exchange(BUSY, self.data, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            // SAFETY: we hold the visitors' lock, and the remover found BUSY and left the entry to us.
            unsafe { self.registry.free_remotely(NonNull::from(self.page), self.offset) };
            // SAFETY: the remover found BUSY and left the waker to us.
            drop(unsafe { Waker::new(self.data, &*link.cast::<RawWakerVTable>()) });
        }
    }
}

/// Makes sure that a visitor finds this task's metadata behind its waker's pointer.
#[inline]
fn check_offset(waker: &Waker, meta: &Meta) {
    let offset = ptr::from_ref(meta).addr().wrapping_sub(waker.data().addr());
    if META_OFFSET.load(Ordering::Relaxed) != offset {
        measure_offset(offset);
    }
}

#[cold]
fn measure_offset(offset: usize) {
    let first = META_OFFSET.compare_exchange(0, offset, Ordering::Relaxed, Ordering::Relaxed);
    assert!(
        first.is_ok_and(|_| offset < 256) || first == Err(offset),
        "a task's metadata lies elsewhere than in other tasks; this version of async-task cannot be used"
    );
}

#[cfg(all(test, not(gambol_loom)))]
mod tests {
    use super::*;
    use crate::task::Id;
    use std::{
        panic::Location,
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicUsize},
            mpsc,
        },
        thread,
    };

    /// A task's cell as the executor makes it, never run.
    struct Cell(async_task::Runnable<Meta>);

    impl Cell {
        fn new(number: u64) -> Cell {
            let meta = Meta::new(Id::new(0, number), Location::caller(), None);
            let schedule = |runnable| std::mem::forget::<async_task::Runnable<Meta>>(runnable);
            let (runnable, task) = async_task::Builder::new().metadata(meta).spawn(|_| async {}, schedule);
            task.detach();
            Cell(runnable)
        }

        fn insert(&self, registry: &Registry, owned: &mut Owned) -> u32 {
            // SAFETY: the test's one thread is worker 0, and the waker is this cell's.
            unsafe { registry.insert(0, owned, self.0.waker(), self.0.metadata()) }
        }
    }

    #[test]
    fn pages_are_given_back_after_a_peak_whoever_removes() {
        for foreign in [false, true] {
            let (registry, mut owned) = (Registry::new(1), Owned::default());
            let cells: Vec<Cell> = (1..=10_000).map(Cell::new).collect();
            let indices: Vec<u32> = cells.iter().map(|cell| cell.insert(&registry, &mut owned)).collect();
            assert_eq!(registry.pages(), 10_000usize.div_ceil(PAGE as usize));
            let mut seen = 0;
            registry.visit_all(|_, meta| seen += u64::from(meta.id == cells[seen as usize].0.metadata().id));
            assert_eq!(seen, 10_000);
            for index in indices {
                let mine = (!foreign).then_some((0, &mut owned));
                // SAFETY: the index is removed once; this thread is worker 0.
                assert!(unsafe { registry.remove(index, mine) }.is_some());
            }
            // SAFETY: this thread is worker 0.
            unsafe { registry.tidy(0, &mut owned) };
            assert!(registry.pages() <= 2, "{} pages are left", registry.pages());
            registry.visit_all(|_, _| panic!("nothing is left to see"));
        }
    }

    #[test]
    fn a_page_that_a_visitor_kept_is_freed_later_and_nobody_waits_for_the_visitor() {
        for sleeps in [false, true] {
            let (registry, mut owned) = (Registry::new(1), Owned::default());
            let cells: Vec<Cell> = (1..=2_000).map(Cell::new).collect();
            let indices: Vec<u32> = cells.iter().map(|cell| cell.insert(&registry, &mut owned)).collect();
            let pages = registry.pages();
            let mut removed = Vec::new();
            registry.visit(indices[0], |_, _| {
                // The visitors' lock is held: with one that waits for it, this does not end.
                for &index in &indices[1..] {
                    // SAFETY: the index is removed once; this thread is worker 0.
                    removed.extend(unsafe { registry.remove(index, Some((0, &mut owned))) });
                }
            });
            assert_eq!(removed.len(), indices.len() - 1);
            assert_eq!(registry.pages(), pages, "a page was freed under a visitor");
            // SAFETY: the index is removed once; this thread is worker 0.
            removed.extend(unsafe { registry.remove(indices[0], Some((0, &mut owned))) });
            if sleeps {
                // SAFETY: this thread is worker 0.
                unsafe { registry.tidy(0, &mut owned) };
            }
            assert!(registry.pages() <= 2, "{} pages are left", registry.pages());
            registry.visit_all(|_, _| panic!("nothing is left to see"));
        }
    }

    /// Prints for how long a visitor holds the lock for one page, with a clone of each waker.
    #[test]
    #[ignore = "a measurement"]
    fn a_page_of_a_hundred_thousand_tasks() {
        let (registry, mut owned) = (Registry::new(1), Owned::default());
        let cells: Vec<Cell> = (1..=100_000).map(Cell::new).collect();
        for cell in &cells {
            cell.insert(&registry, &mut owned);
        }
        let mut holds = Vec::new();
        for _ in 0..20 {
            for page in 0..registry.numbers() {
                let mut wakers = Vec::with_capacity(PAGE as usize);
                let begin = std::time::Instant::now();
                registry.visit_page(page, |waker, meta| wakers.push((waker.clone(), meta.id, meta.wait())));
                holds.push(begin.elapsed());
                assert!(!wakers.is_empty());
            }
        }
        holds.sort_unstable();
        let of = |part: usize| holds[(holds.len() - 1) * part / 1000];
        eprintln!("a page is held for {:?}, in one of a thousand {:?}, at most {:?}", of(500), of(999), of(1000));
        // The cells were never run; they and what is in the registry end with the process.
        std::mem::forget((registry, cells));
    }

    #[test]
    fn a_visitor_and_removers_share_no_waker_and_lose_none() {
        let registry = Arc::new(Registry::new(1));
        let (removed, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (send, receive) = mpsc::channel::<u32>();
        let remover = thread::spawn({
            let (registry, removed) = (registry.clone(), removed.clone());
            move || {
                for index in receive {
                    // SAFETY: each index comes through the channel once.
                    drop(unsafe { registry.remove(index, None) });
                    removed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let visitor = thread::spawn({
            let (registry, stop) = (registry.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    registry.visit_all(|waker, meta| drop((waker.clone(), meta.id)));
                }
            }
        });
        let mut owned = Owned::default();
        let cells: Vec<Cell> = (1..=512).map(Cell::new).collect();
        for round in 0..200 {
            for (i, cell) in cells.iter().enumerate() {
                let index = cell.insert(&registry, &mut owned);
                if (i + round) % 3 == 0 {
                    // SAFETY: the index is removed here only; this thread is worker 0.
                    drop(unsafe { registry.remove(index, Some((0, &mut owned))) });
                    removed.fetch_add(1, Ordering::Relaxed);
                } else {
                    send.send(index).unwrap();
                }
            }
        }
        drop(send);
        remover.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        visitor.join().unwrap();
        assert_eq!(removed.load(Ordering::Relaxed), 200 * cells.len());
        registry.visit_all(|_, _| panic!("nothing is left to see"));
        for cell in cells {
            // The last reference but the runnable's is gone, so this runs the empty future and frees the cell; a waker too
            // many or too few would show under the sanitizer.
            let meta = std::ptr::from_ref(cell.0.metadata());
            // SAFETY: nothing of the task looks at its metadata after it has finished.
            let inside = unsafe { crate::context::enter_task(&*meta) };
            cell.0.run();
            drop(inside);
        }
    }
}
