//! What the child allows itself. The kernel holds it to that.

use std::io;

use rustix::param::page_size;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Files and pipes that may be open at once: three of every process, the ends of the pipes, and one to look at itself.
const MAX_FILES: u64 = 16;

/// For good: no core dumps (a document may be confidential), no writing to files, next to nothing open.
pub(crate) fn for_good() -> io::Result<()> {
    lower(Resource::Core, 0)?;
    lower(Resource::Fsize, 0)?;
    lower(Resource::Nofile, MAX_FILES)
}

/// For the next document: this much address space beyond what is in use, and this much more processor time.
pub(crate) fn for_one(bytes: u64, cpu_s: u64) -> io::Result<()> {
    let space = address_space().unwrap_or(0).saturating_add(bytes);
    raise(Resource::As, space)?;
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    // The first signal ends the process; whole seconds are all that is counted.
    raise(Resource::Cpu, u64::try_from(used).unwrap_or(0).saturating_add(cpu_s).saturating_add(1))
}

/// The memory that is resident, in bytes, where the kernel tells.
pub(crate) fn resident() -> Option<u64> {
    usage(1)
}

/// The address space in use, in bytes, where the kernel tells.
fn address_space() -> Option<u64> {
    usage(0)
}

/// One of the sizes of this process, which are told in pages.
fn usage(field: usize) -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(field)?.parse::<u64>().ok()? * page_size() as u64)
}

fn lower(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// Sets the limit that holds, below the one that was inherited.
fn raise(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
}
