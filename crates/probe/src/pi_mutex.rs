//! A lock that lends its holder the priority of whoever waits for it.
//!
//! The rings are emptied by two threads of very different priority. If the lesser one is interrupted
//! while it holds the lock, the greater one must not wait until the scheduler comes back to it by
//! itself (priority inversion). `std`'s lock does not inherit; POSIX has one that does
//! (`PTHREAD_PRIO_INHERIT`, on Linux `FUTEX_LOCK_PI`).

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

pub(crate) struct PiMutex<T> {
    /// On the heap: a POSIX mutex must not move.
    raw: Box<UnsafeCell<libc::pthread_mutex_t>>,
    value: UnsafeCell<T>,
}

// SAFETY: as of any mutex: the value is only reached by the one thread that holds the lock.
unsafe impl<T: Send> Send for PiMutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for PiMutex<T> {}

impl<T> PiMutex<T> {
    pub(crate) fn new(value: T) -> Self {
        let raw = Box::new(UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER));
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: the attributes are initialised before they are used and destroyed once; the mutex
        // is not used by anybody yet, and keeps its address. Where inheritance is refused, the mutex
        // is initialised without.
        unsafe {
            if libc::pthread_mutexattr_init(attributes.as_mut_ptr()) == 0 {
                libc::pthread_mutexattr_setprotocol(
                    attributes.as_mut_ptr(),
                    libc::PTHREAD_PRIO_INHERIT,
                );
                libc::pthread_mutex_init(raw.get(), attributes.as_ptr());
                libc::pthread_mutexattr_destroy(attributes.as_mut_ptr());
            }
        }
        Self { raw, value: UnsafeCell::new(value) }
    }

    /// Waits for the lock. A thread that panicked while it held it has released it.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // SAFETY: the mutex is initialised, and this thread does not hold it: a guard cannot be
        // leaked into a second call of the only two users, which take it for one scope each.
        unsafe { libc::pthread_mutex_lock(self.raw.get()) };
        Guard { mutex: self }
    }
}

impl<T> Drop for PiMutex<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody holds it or waits for it.
        unsafe { libc::pthread_mutex_destroy(self.raw.get()) };
    }
}

pub(crate) struct Guard<'m, T> {
    mutex: &'m PiMutex<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while this thread holds the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread locked it.
        unsafe { libc::pthread_mutex_unlock(self.mutex.raw.get()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thread_at_a_time_is_inside() {
        const TIMES: usize = 20_000;
        let mutex = PiMutex::new(0_usize);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..TIMES {
                        let mut value = mutex.lock();
                        let seen = *value;
                        std::hint::black_box(seen);
                        *value = seen + 1;
                    }
                });
            }
        });
        assert_eq!(*mutex.lock(), 4 * TIMES);
    }
}
