//! The program's allocator: mimalloc, but the end of memory is told and has the exit code of a full disk. The language
//! would abort, which a scheduler takes for a crash. The same for threads that cannot be started.

use std::alloc::{GlobalAlloc, Layout};

use mimalloc::MiMalloc;

use crate::error::{Class, Error};

pub struct OrExit;

// SAFETY: every call goes to mimalloc with its arguments as they came, and a null never leaves.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises about the layout are those that mimalloc asks for.
        or_exit(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        or_exit(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above, and the pointer came from mimalloc.
        or_exit(unsafe { MiMalloc.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from mimalloc.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }
}

fn or_exit(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        out_of_memory(bytes);
    }
    pointer
}

/// Nothing here may allocate. What the run began is rolled back by the warehouse, as after a kill.
#[cold]
fn out_of_memory(bytes: usize) -> ! {
    let mut text = [0_u8; 256];
    let length = {
        use std::io::Write;
        let mut rest = &mut text[..];
        let _ = writeln!(
            rest,
            "error: out of memory: {bytes} bytes more could not be had\n  the interval in work is rolled back; give the \
             process more memory, or use fewer --threads or --jobs"
        );
        256 - rest.len()
    };
    // SAFETY: the bytes are this function's own, and _exit takes any number.
    unsafe {
        libc::write(2, text.as_ptr().cast(), length);
        libc::_exit(i32::from(Class::Io.exit_code()))
    }
}

/// What catching a panic may take.
const ROOM: usize = 8 << 20;

/// Ends the program when a panic comes where memory or threads have come to an end: unwinding needs memory of its own, and
/// a runtime whose thread could not be started would wait for it forever.
pub fn end_when_exhausted(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(|place| place.file().to_owned()).unwrap_or_default();
    *LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = (crate::panic_text(panic.payload()), place);
    if !room() {
        out_of_memory(ROOM);
    }
    let text = crate::panic_text(panic.payload());
    if text.contains("spawn") || text.contains("Resource temporarily unavailable") {
        let error = Error::new(Class::Io, "a thread could not be started")
            .cause(text)
            .hint("give the process more memory or more threads (ulimit -v, ulimit -u, the cgroup), or lower --threads or --jobs");
        crate::output::error(&error);
        std::process::exit(i32::from(error.class.exit_code()));
    }
}

/// What the last panic said, and in which file.
static LAST: std::sync::Mutex<(String, String)> = std::sync::Mutex::new((String::new(), String::new()));

/// Whether the panic that said this came from one of these libraries.
pub fn panicked_in(text: &str, libraries: &[&str]) -> bool {
    let last = LAST.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    last.0 == text && libraries.iter().any(|library| last.1.contains(library))
}

fn room() -> bool {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping at an address of the system's choice, given back before anything could use it.
    unsafe {
        let pointer = libc::mmap(std::ptr::null_mut(), ROOM, access, kind, -1, 0);
        pointer != libc::MAP_FAILED && libc::munmap(pointer, ROOM) == 0
    }
}

/// The largest resident set of this process so far.
pub fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}
