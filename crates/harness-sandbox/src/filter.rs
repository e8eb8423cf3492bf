//! What Landlock does not cover: calls that the kernel refuses whatever their path.
//!
//! Landlock judges the opening, making, moving and removing of files. It does not judge a change of
//! mode, owner, times or attributes, a socket, a signal (before ABI 6), or what root may do to the
//! machine. A filter on the numbers and plain arguments of system calls does. It cannot follow a
//! pointer, so a call that hides its flags behind one is refused as unknown, and libraries fall back
//! to the older call: `clone3` to `clone`, `openat2` to `openat`.
//!
//! A number that nobody here has judged (newer than [`NEWEST`], or of the x32 kind) is unknown too.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

/// The newest call that was judged: `file_setattr` of Linux 6.17.
const NEWEST: u32 = 469;

/// Calls that have no constant in the libc crate on every architecture. Since Linux 5.1 the numbers are the same on
/// every architecture.
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const OPEN_TREE_ATTR: i64 = 467;
const FILE_SETATTR: i64 = 469;

/// Which filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Looks only. `landlock` is the ABI that the rules are made for: what it cannot say, the filter
    /// refuses.
    ReadOnly {
        /// The version of Landlock's interface.
        landlock: u8,
    },
    /// Writes the workspace, in namespaces of its own that `bwrap` has made.
    Workspace,
}

/// Compiles the filter for this machine.
///
/// # Errors
/// When the architecture is none that filters can be made for.
pub(crate) fn compile(purpose: Purpose) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules = Rules::default();
    rules.machine();
    match purpose {
        Purpose::ReadOnly { landlock } => {
            rules.metadata();
            rules.sockets();
            rules.other_processes();
            rules.shared_objects();
            rules.file_control();
            if landlock < 6 {
                rules.signals();
            }
            if landlock < 3 {
                rules.truncation();
            }
        }
        Purpose::Workspace => {
            rules.socket_families();
            rules.terminal_injection();
        }
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(rules.0, SeccompAction::Allow, refuse, architecture)?;
    let judged = BpfProgram::try_from(filter)?;
    Ok(with_unknown_calls(&judged, purpose))
}

/// Puts a few instructions in front: calls that are answered with "no such call".
fn with_unknown_calls(judged: &[sock_filter], purpose: Purpose) -> BpfProgram {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const NUMBER: u32 = 0; // where the number of the call stands
    const REFUSE: u32 = 0x0005_0000; // SECCOMP_RET_ERRNO

    let is = |number: i64| (EQUAL, u32::try_from(number).unwrap_or(u32::MAX));
    let mut unknown = vec![(GREATER, NEWEST), is(libc::SYS_clone3)];
    if matches!(purpose, Purpose::ReadOnly { landlock: 1 | 2 }) {
        // Its flags lie behind a pointer, and one of them truncates.
        unknown.push(is(libc::SYS_openat2));
    }
    let mut program = vec![sock_filter { code: LOAD, jt: 0, jf: 0, k: NUMBER }];
    for (code, k) in unknown {
        // On a match go on with the next instruction, else jump over it.
        program.push(sock_filter { code, jt: 0, jf: 1, k });
        let answer = REFUSE | libc::ENOSYS.cast_unsigned();
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: answer });
    }
    program.extend_from_slice(judged);
    program
}

/// The calls that are refused, with conditions on their arguments. No condition: always.
#[derive(Default)]
struct Rules(BTreeMap<i64, Vec<SeccompRule>>);

impl Rules {
    fn always(&mut self, calls: &[i64]) {
        for call in calls {
            self.0.insert(*call, Vec::new());
        }
    }

    /// Refuses the call when all conditions hold. Several rules for one call: when one of them holds.
    fn when(&mut self, call: i64, conditions: &[(u8, SeccompCmpOp, u64)]) {
        let conditions: Option<Vec<SeccompCondition>> = conditions
            .iter()
            .map(|(argument, is, value)| {
                SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, is.clone(), *value).ok()
            })
            .collect();
        let rule = conditions.and_then(|conditions| SeccompRule::new(conditions).ok());
        match rule {
            Some(rule) => self.0.entry(call).or_default().push(rule),
            // A rule that cannot be made must not become a hole.
            None => self.always(&[call]),
        }
    }

    /// What changes the machine, or lets a program out of what it was put into.
    fn machine(&mut self) {
        self.always(&[
            libc::SYS_acct,
            libc::SYS_add_key,
            libc::SYS_adjtimex,
            libc::SYS_bpf,
            libc::SYS_chroot,
            libc::SYS_clock_adjtime,
            libc::SYS_clock_settime,
            libc::SYS_delete_module,
            libc::SYS_fanotify_init,
            libc::SYS_finit_module,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_init_module,
            libc::SYS_io_uring_enter,
            libc::SYS_io_uring_register,
            libc::SYS_io_uring_setup,
            libc::SYS_kcmp,
            libc::SYS_kexec_file_load,
            libc::SYS_kexec_load,
            libc::SYS_keyctl,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_name_to_handle_at,
            libc::SYS_nfsservctl,
            libc::SYS_open_by_handle_at,
            libc::SYS_open_tree,
            OPEN_TREE_ATTR,
            libc::SYS_perf_event_open,
            libc::SYS_pivot_root,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_reboot,
            libc::SYS_request_key,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_setns,
            libc::SYS_settimeofday,
            libc::SYS_swapoff,
            libc::SYS_swapon,
            libc::SYS_umount2,
            libc::SYS_unshare,
            libc::SYS_userfaultfd,
            libc::SYS_vhangup,
        ]);
        #[cfg(target_arch = "x86_64")]
        self.always(&[
            libc::SYS_ioperm,
            libc::SYS_iopl,
            libc::SYS_modify_ldt,
            libc::SYS_uselib,
            libc::SYS__sysctl,
        ]);
        let namespaces = [
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWNET,
            libc::CLONE_NEWNS,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWUTS,
            // Would make the new process a child of the harness.
            libc::CLONE_PARENT,
        ];
        for flag in namespaces {
            self.when_flag(libc::SYS_clone, 0, flag);
        }
        // Reading the kernel's messages may empty them. 3 reads without that; 9 and 10 count.
        let readable = [3, 9, 10].map(|action| (0, SeccompCmpOp::Ne, action));
        self.when(libc::SYS_syslog, &readable);
    }

    fn when_flag(&mut self, call: i64, argument: u8, flag: i32) {
        let flag = u64::from(flag.cast_unsigned());
        self.when(call, &[(argument, SeccompCmpOp::MaskedEq(flag), flag)]);
    }

    /// Mode, owner, times and attributes of files, which Landlock does not judge.
    fn metadata(&mut self) {
        self.always(&[
            libc::SYS_fchmod,
            libc::SYS_fchmodat,
            FCHMODAT2,
            libc::SYS_fchown,
            libc::SYS_fchownat,
            libc::SYS_fremovexattr,
            libc::SYS_fsetxattr,
            libc::SYS_lremovexattr,
            libc::SYS_lsetxattr,
            libc::SYS_removexattr,
            libc::SYS_setxattr,
            libc::SYS_utimensat,
            SETXATTRAT,
            REMOVEXATTRAT,
            FILE_SETATTR,
        ]);
        #[cfg(target_arch = "x86_64")]
        self.always(&[
            libc::SYS_chmod,
            libc::SYS_chown,
            libc::SYS_futimesat,
            libc::SYS_lchown,
            libc::SYS_utime,
            libc::SYS_utimes,
        ]);
    }

    /// No socket of any kind. A connected pair is a pipe, unless it is one of messages: that kind can
    /// be pointed at another address.
    fn sockets(&mut self) {
        self.always(&[
            libc::SYS_accept,
            libc::SYS_accept4,
            libc::SYS_bind,
            libc::SYS_connect,
            libc::SYS_listen,
            libc::SYS_socket,
        ]);
        let local = u64::from(libc::AF_UNIX.cast_unsigned());
        self.when(libc::SYS_socketpair, &[(0, SeccompCmpOp::Ne, local)]);
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            let kind = u64::from(kind.cast_unsigned());
            self.when(libc::SYS_socketpair, &[(1, SeccompCmpOp::MaskedEq(0xf), kind)]);
        }
    }

    /// What a process may do to another one. 0 means itself.
    fn other_processes(&mut self) {
        self.always(&[
            libc::SYS_migrate_pages,
            libc::SYS_move_pages,
            libc::SYS_pidfd_getfd,
            libc::SYS_process_madvise,
            libc::SYS_process_mrelease,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_ptrace,
        ]);
        let not_itself = [
            (libc::SYS_ioprio_set, 1),
            (libc::SYS_prlimit64, 0),
            (libc::SYS_sched_setaffinity, 0),
            (libc::SYS_sched_setattr, 0),
            (libc::SYS_sched_setparam, 0),
            (libc::SYS_sched_setscheduler, 0),
            (libc::SYS_setpriority, 1),
        ];
        for (call, argument) in not_itself {
            self.when(call, &[(argument, SeccompCmpOp::Ne, 0)]);
        }
        // A group or a user instead of a process: 0 is then the group or user of the caller.
        let process = u64::from(libc::PRIO_PROCESS);
        self.when(libc::SYS_setpriority, &[(0, SeccompCmpOp::Ne, process)]);
        self.when(libc::SYS_ioprio_set, &[(0, SeccompCmpOp::Ne, 1)]);
    }

    /// Objects of the kernel that outlive their maker and that every process of the user can reach.
    fn shared_objects(&mut self) {
        self.always(&[
            libc::SYS_mq_open,
            libc::SYS_mq_unlink,
            libc::SYS_msgctl,
            libc::SYS_msgget,
            libc::SYS_msgrcv,
            libc::SYS_msgsnd,
            libc::SYS_semctl,
            libc::SYS_semget,
            libc::SYS_semop,
            libc::SYS_semtimedop,
            libc::SYS_shmat,
            libc::SYS_shmctl,
            libc::SYS_shmget,
        ]);
    }

    /// Signals, where Landlock does not keep them in. 0 as a receiver is the child's own group: it
    /// has a session of its own. A program that wants to end itself with a signal ends all the same.
    fn signals(&mut self) {
        self.always(&[
            libc::SYS_pidfd_send_signal,
            libc::SYS_rt_sigqueueinfo,
            libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_tgkill,
            libc::SYS_tkill,
        ]);
        self.when(libc::SYS_kill, &[(0, SeccompCmpOp::Ne, 0)]);
        // A file can be told to signal somebody when something happens to it.
        for command in [libc::F_SETOWN, F_SETOWN_EX] {
            let command = u64::from(command.cast_unsigned());
            self.when(libc::SYS_fcntl, &[(1, SeccompCmpOp::Eq, command)]);
        }
    }

    /// Emptying a file, where Landlock does not judge it: by name, or by opening it for reading.
    fn truncation(&mut self) {
        self.always(&[libc::SYS_truncate]);
        // Opening for writing is judged. 0 opens for reading, 3 for nothing but control.
        let mask = u64::from((libc::O_TRUNC | libc::O_ACCMODE).cast_unsigned());
        for access in [libc::O_RDONLY, libc::O_ACCMODE] {
            let value = u64::from((libc::O_TRUNC | access).cast_unsigned());
            let is = SeccompCmpOp::MaskedEq(mask);
            self.when(libc::SYS_openat, &[(2, is.clone(), value)]);
            #[cfg(target_arch = "x86_64")]
            self.when(libc::SYS_open, &[(1, is, value)]);
        }
    }

    /// Control of open files: only what programs ask of every file. The rest differs by file system
    /// and device, and some of it writes through a file that is open for reading (attributes,
    /// snapshots, sealing), or types into the terminal.
    fn file_control(&mut self) {
        const TCGETS2: u64 = 0x802c_542a;
        const FS_IOC_GETFLAGS: u64 = 0x8008_6601;
        const FS_IOC_FSGETXATTR: u64 = 0x801c_581f;
        const FS_IOC_FIEMAP: u64 = 0xc020_660b;
        let allowed = [
            libc::FIOCLEX,
            libc::FIONBIO,
            libc::FIONCLEX,
            libc::FIONREAD,
            libc::TCGETS,
            libc::TIOCGPGRP,
            libc::TIOCGSID,
            libc::TIOCGWINSZ,
            libc::TIOCOUTQ,
        ];
        #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
        let plain = allowed.into_iter().map(|request| request as u64);
        let by_number = [TCGETS2, FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP];
        let other: Vec<_> =
            plain.chain(by_number).map(|request| (1, SeccompCmpOp::Ne, request)).collect();
        self.when(libc::SYS_ioctl, &other);
    }

    /// Sockets of the kinds that a network namespace keeps in. Others (virtual machines, Bluetooth)
    /// reach outside of it.
    fn socket_families(&mut self) {
        let kept_in = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
        let other = kept_in.map(|family| (0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())));
        self.when(libc::SYS_socket, &other);
    }

    /// Typing into a terminal.
    fn terminal_injection(&mut self) {
        for request in [libc::TIOCSTI, libc::TIOCLINUX] {
            #[allow(clippy::unnecessary_cast, reason = "the type differs between C libraries")]
            self.when(libc::SYS_ioctl, &[(1, SeccompCmpOp::Eq, request as u64)]);
        }
    }
}

/// `F_SETOWN_EX` of `fcntl`.
const F_SETOWN_EX: i32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_compiles_and_fits_into_the_kernel() {
        const MAX_INSTRUCTIONS: usize = 4096;
        let read_only = (1..=10).map(|landlock| Purpose::ReadOnly { landlock });
        for purpose in read_only.chain([Purpose::Workspace]) {
            let program = compile(purpose).unwrap();
            assert!(program.len() < MAX_INSTRUCTIONS, "{purpose:?}: {}", program.len());
        }
    }
}
