//! Real processes of this workspace: started, kept going, signalled, ended.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A program of this workspace, which is built beside the running one.
///
/// # Panics
/// When it is not built.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it is");
    // Tests are built into a folder of their own below.
    let built = own.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).expect("a program is in a folder");
    let program = built.join(name);
    assert!(program.exists(), "{} is not built: run the tests by bin/test", program.display());
    program
}

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// By which it is known, and its log is called.
    pub name: String,
    /// What is run.
    pub program: PathBuf,
    /// With these arguments.
    pub arguments: Vec<String>,
    /// The whole of its environment.
    pub environment: Vec<(String, String)>,
    /// Where its log lines go.
    pub logs: PathBuf,
}

impl Recipe {
    /// Starts it. It is killed when its handle is dropped.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&self) -> Child {
        let log = |ending: &str| {
            let path = self.logs.join(format!("{}.{ending}", self.name));
            Stdio::from(OpenOptions::new().create(true).append(true).open(path).expect("a log can be opened"))
        };
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log("out")).stderr(log("log"));
        command.spawn().unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.program.display()))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        read(&self.logs.join(format!("{}.log", self.name)))
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Sends `signal` to a child that was not waited for yet.
pub fn send(child: &Child, signal: Signal) {
    // One that was waited for has no number any more.
    let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
    if let Some(pid) = pid {
        // One that has just ended does not mind.
        let _gone = kill_process(pid, signal);
    }
}

/// How a process came to its end.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Whose.
    pub name: String,
    /// With which status.
    pub status: ExitStatus,
    /// Whether it was killed or asked to end.
    pub told: bool,
    /// How long it lived.
    pub lived: Duration,
}

/// What a kept process tells of itself.
pub trait Witness: Send + Sync + 'static {
    /// It runs.
    fn began(&self) {}
    /// It ended, and will run again in a while.
    fn ended(&self, _ending: Ending) {}
}

/// A process that is started again in a while whenever it ends, as a platform does it.
#[derive(Debug)]
pub struct Kept {
    orders: mpsc::UnboundedSender<Signal>,
    stop: CancellationToken,
    keeping: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Kept {
    /// Starts what `recipe` says and keeps it going. `seed` decides how long each pause before another start is.
    pub fn start(recipe: Recipe, seed: u64, witness: Arc<dyn Witness>) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let keeping = AbortOnDropHandle::new(tokio::spawn(keep(recipe, seed, witness, received, stop.clone())));
        Self { orders, stop, keeping: Mutex::new(Some(keeping)) }
    }

    /// Sends it a signal, if it runs.
    pub fn signal(&self, signal: Signal) {
        // Once it is stopped for good nobody reads this any more.
        let _stopped = self.orders.send(signal);
    }

    /// Asks it to end, waits until it has, and lets it be.
    pub async fn stop(&self) {
        self.stop.cancel();
        let keeping = self.keeping.lock().unwrap().take();
        if let Some(keeping) = keeping {
            keeping.await.expect("keeping a process does not break");
        }
    }
}

/// How long a process that is asked to end may take before it is killed.
const LAST_WORDS: Duration = Duration::from_secs(20);

async fn keep(
    recipe: Recipe,
    seed: u64,
    witness: Arc<dyn Witness>,
    mut orders: mpsc::UnboundedReceiver<Signal>,
    stop: CancellationToken,
) {
    let mut dice = StdRng::seed_from_u64(seed);
    while !stop.is_cancelled() {
        let mut child = recipe.start();
        witness.began();
        let (mut told, born) = (false, Instant::now());
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                Some(order) = orders.recv() => {
                    told |= matches!(order, Signal::KILL | Signal::TERM);
                    send(&child, order);
                }
                () = stop.cancelled() => {
                    told = true;
                    send(&child, Signal::CONT);
                    send(&child, Signal::TERM);
                    match tokio::time::timeout(LAST_WORDS, child.wait()).await {
                        Ok(status) => break status,
                        Err(_) => send(&child, Signal::KILL),
                    }
                    break child.wait().await;
                }
            }
        };
        let (name, status) = (recipe.name.clone(), status.expect("a child can be waited for"));
        witness.ended(Ending { name, status, told, lived: born.elapsed() });
        let pause = Duration::from_millis(dice.random_range(100..1_500));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
        // What was meant for the one that is gone does not strike the next.
        while orders.try_recv().is_ok() {}
    }
}
