//! How the C library keeps the memory that bodies leave.

/// Blocks of this size and more come from the system and go back to it at once.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const OWN_PAGES: i32 = 1 << 20;
/// So much free memory is kept at the end of each heap before it goes back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: i32 = 4 << 20;

/// Sets both for the whole process, unless its environment says something about the C library's memory.
///
/// By default, glibc gives the memory of a page of some hundred kilobytes back as soon as it is free, and the next page
/// has to fault all of it in again; while blocks that grow up to 32 MiB stay in its heaps for good. Source: mallopt(3).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn keep_some() {
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let names = ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"];
    if names.into_iter().any(is_set) {
        return;
    }
    // SAFETY: it stores two numbers, under the C library's lock.
    #[expect(unsafe_code, reason = "mallopt has no safe form")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

/// Other C libraries have no such settings.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_some() {}
