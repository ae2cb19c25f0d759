//! Small messages go at once. The driver leaves Nagle's algorithm on, so the few bytes that end a COPY would wait for the
//! server's delayed acknowledgement of the rows before them: 40 ms a batch.

/// Switches Nagle's algorithm off for the TCP sockets of this process; the driver does not hand out its own.
#[cfg(target_os = "linux")]
pub fn set() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    for entry in entries.flatten() {
        let is_socket =
            std::fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse::<libc::c_int>().ok());
        let (true, Some(number)) = (is_socket, number) else { continue };
        let on: libc::c_int = 1;
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the call reads one integer that outlives it. A number that is no TCP socket, or that was closed in
        // the meantime, gives an error, which does not matter.
        unsafe { libc::setsockopt(number, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), size) };
    }
}

#[cfg(not(target_os = "linux"))]
pub fn set() {}
