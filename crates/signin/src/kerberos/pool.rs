//! Threads for calls that block on the KDC: a bounded number, with a bounded queue, apart from every runtime.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// Threads of one upstream that may be held by its KDC at a time.
pub(crate) const THREADS_MAX: usize = 8;
/// Jobs that may wait for a thread.
pub(crate) const WAITING_MAX: usize = 64;
/// A thread without work for this long ends.
const IDLE_FOR: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce() + Send>;

/// Starts threads as they are needed. Dropping it lets running jobs end on their own and drops the waiting ones.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    name: String,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

/// No thread is free and the queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Pool {
    pub(crate) fn new(name: String) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), work: Condvar::new() }), name }
    }

    /// Queues a job. It runs unless the pool is dropped before its turn.
    pub(crate) fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        let mut state = self.shared.state.lock();
        let spawn = state.idle <= state.waiting.len() && state.threads < THREADS_MAX;
        if !spawn && state.waiting.len() >= WAITING_MAX {
            return Err(Full);
        }
        if spawn {
            let shared = self.shared.clone();
            let started = std::thread::Builder::new().name(self.name.clone()).spawn(move || shared.serve());
            match started {
                Ok(_) => state.threads += 1,
                Err(error) if state.threads == 0 => {
                    tracing::error!(%error, "no thread for the KDC could be started");
                    return Err(Full);
                }
                Err(error) => tracing::warn!(%error, "no further thread for the KDC could be started"),
            }
        }
        state.waiting.push_back(Box::new(job));
        self.shared.work.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.shared.work.notify_all();
        drop(waiting); // outside the lock: what a job holds may do anything when it is dropped
    }
}

impl Shared {
    fn serve(&self) {
        while let Some(job) = self.next() {
            // A job that panics reports its own failure when it is dropped; the thread and its count stay.
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                tracing::error!("a sign-in job panicked");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            let mut timed_out = false;
            if !state.closed {
                state.idle += 1;
                timed_out = self.work.wait_for(&mut state, IDLE_FOR).timed_out();
                state.idle -= 1;
            }
            if state.closed || (timed_out && state.waiting.is_empty()) {
                state.threads -= 1;
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn refuses_work_when_every_thread_is_held_and_the_queue_is_full() {
        let pool = Pool::new("test".to_owned());
        let gate = Arc::new(Mutex::new(()));
        let (done, results) = mpsc::channel();
        let held = gate.lock();
        for number in 0..THREADS_MAX + WAITING_MAX {
            let (gate, done) = (gate.clone(), done.clone());
            pool.submit(move || {
                drop(gate.lock());
                done.send(number).unwrap();
            })
            .unwrap();
            // Each of the first jobs must have left the queue before the next comes, or it would fill the queue.
            while number < THREADS_MAX && !pool.shared.state.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
        }
        assert_eq!(pool.submit(|| ()), Err(Full));
        drop(held);
        let mut seen: Vec<_> = results.iter().take(THREADS_MAX + WAITING_MAX).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..THREADS_MAX + WAITING_MAX).collect::<Vec<_>>());
    }

    #[test]
    fn goes_on_after_a_job_that_panicked() {
        let pool = Pool::new("test".to_owned());
        for _ in 0..2 * THREADS_MAX {
            pool.submit(|| panic!("on purpose")).unwrap();
        }
        let (done, result) = mpsc::channel();
        pool.submit(move || done.send(()).unwrap()).unwrap();
        result.recv().unwrap();
    }

    #[test]
    fn dropping_it_drops_the_jobs_that_wait() {
        let pool = Pool::new("test".to_owned());
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock();
        let (done, results) = mpsc::channel();
        for _ in 0..2 * THREADS_MAX {
            let (gate, done) = (gate.clone(), done.clone());
            pool.submit(move || {
                drop(gate.lock());
                done.send(()).unwrap();
            })
            .unwrap();
        }
        drop(done);
        while pool.shared.state.lock().waiting.len() > THREADS_MAX {
            std::thread::yield_now();
        }
        drop(pool);
        drop(held);
        assert_eq!(results.iter().count(), THREADS_MAX);
    }
}
