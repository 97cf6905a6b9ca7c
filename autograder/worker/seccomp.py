"""System calls that no notebook needs, refused by the kernel: a filter for seccomp, written without a library.

The filter is a list of rules, one call each: with the result an error number (0: the call pretends to have worked, and
does nothing) and, where only some uses are refused, conditions on the lower half of its arguments.
"""

import ctypes
import struct
from dataclasses import dataclass
from errno import ENOMEM, ENOSYS, EOPNOTSUPP, EPERM

from .syscalls import LAST_KNOWN, call, machine, number

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_...
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NEW_NAMESPACES = 0x7E020000  # the flags CLONE_NEW...
AF_UNIX, SOCK_STREAM, SOCK_SEQPACKET, SOCK_TYPE = 1, 1, 5, 0xF
SHARED_ANONYMOUS = 0x21

REFUSED = (
    # the network, and sockets of other programs: no socket is made but connected pairs
    "socket bind connect listen accept accept4 "
    # other processes' memory, files and time
    "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp move_pages "
    "migrate_pages setpriority ioprio_set "
    # namespaces and mounts
    "unshare setns mount umount2 mount_setattr move_mount open_tree fsopen fsmount fsconfig fspick pivot_root "
    "chroot quotactl quotactl_fd swapon swapoff "
    # what outlives a process or is shared between users: keys, and memory, queues and semaphores by number
    "add_key request_key keyctl shmget msgget semget mq_open "
    # doors into the kernel that a notebook has no business with
    "bpf perf_event_open kexec_load kexec_file_load init_module finit_module delete_module reboot acct syslog "
    "iopl ioperm modify_ldt uselib nfsservctl lookup_dcookie vhangup name_to_handle_at open_by_handle_at "
    "fanotify_init inotify_add_watch "
    # which parts of a shared file are in memory: what one worker arranges, the next could read
    "mincore"
)
# absent, rather than forbidden, for libraries that then do without
ABSENT = "clone3 openat2 userfaultfd io_uring_setup io_uring_enter io_uring_register memfd_create memfd_secret"
# Landlock does not see these; they pretend, since copying a file sets its times and mode
PRETENDED = (
    "chmod fchmod fchmodat chown fchown lchown fchownat utime utimes utimensat futimesat setxattr lsetxattr "
    "fsetxattr removexattr lremovexattr fremovexattr setsid setpgid"  # the last two: the group is what is killed
)


@dataclass(frozen=True)
class Argument:
    """A condition: the argument `at`, as far as `mask` goes, is `value` (or is not)."""

    at: int
    value: int
    mask: int = 0xFFFFFFFF
    differs: bool = False


@dataclass(frozen=True)
class Rule:
    """`name` gives the error `result`, where all conditions hold."""

    name: str
    result: int = EPERM
    when: tuple[Argument, ...] = ()


def rules(*, gpu: bool = False) -> list[Rule]:
    """What is refused in every tier; with a GPU, CUDA's start-up is spared.

    It shares memory without a name with the driver, makes such files, and listens on a socket of its own, to which
    nothing can connect.
    """
    spared = ("socket", "bind", "listen", "memfd_create", "mmap") if gpu else ()
    refused = [rule for rule in _rules() if rule.name not in spared]
    other_type = (Argument(1, SOCK_SEQPACKET, SOCK_TYPE, differs=True),)
    left = [Rule("socket", when=(Argument(0, AF_UNIX, differs=True),)), Rule("socket", when=other_type)]
    return refused + (left if gpu else [])


def _rules() -> list[Rule]:
    others_pid = (Argument(0, 0, differs=True),)
    return [
        *(Rule(name) for name in REFUSED.split()),
        *(Rule(name, ENOSYS) for name in ABSENT.split()),
        Rule("socketpair", when=(Argument(0, AF_UNIX, differs=True),)),
        # a datagram pair can be pointed at any socket of the machine
        Rule("socketpair", when=(Argument(1, SOCK_STREAM, SOCK_TYPE, differs=True),)),
        Rule("clone", when=(Argument(0, 0, NEW_NAMESPACES, differs=True),)),
        # such pages stay when they are unmapped, where no count of a process's memory sees them
        Rule("mmap", ENOMEM, (Argument(3, SHARED_ANONYMOUS, SHARED_ANONYMOUS),)),
        Rule("prctl", when=(Argument(0, 4),)),  # PR_SET_DUMPABLE: would hide the memory from the watch
        *(Rule("fcntl", when=(Argument(1, code),)) for code in (8, 10, 15, 1024, 1026)),  # signals to others, leases
        *(Rule("ioctl", when=(Argument(1, code),)) for code in (0x5412, 0x541C)),  # terminals
        Rule("ioctl", when=(Argument(1, 0x8900, 0xFF00),)),  # of sockets: names and addresses of the machine's network
        # a lock or a hint on a file that all workers share would be a message to the next one
        Rule("flock", 0),
        *(Rule("fcntl", 0, (Argument(1, code),)) for code in (6, 7, 37, 38)),
        Rule("fadvise64", 0),
        *(Rule("madvise", 0, (Argument(2, advice),)) for advice in (20, 21)),  # cold, page out
        Rule("preadv2", EOPNOTSUPP, (Argument(5, 0, differs=True),)),
        Rule("prlimit64", when=others_pid),
        *(Rule(f"sched_set{what}", when=others_pid) for what in ("affinity", "attr", "param", "scheduler")),
    ]


def rules_without_namespaces(abi: int, own_pid: int) -> list[Rule]:
    """What is refused besides where Landlock, of the version `abi`, stands alone."""
    out = [*(Rule(name, 0) for name in PRETENDED.split()), Rule("sendmsg"), Rule("sendmmsg")]
    if abi < 3:  # truncating is not among the rights yet
        only_truncating = 0o1003, 0o1000  # O_TRUNC of those and the two bits of the access mode
        out += [
            Rule("truncate"),
            Rule("open", when=(Argument(1, only_truncating[1], only_truncating[0]),)),
            Rule("openat", when=(Argument(2, only_truncating[1], only_truncating[0]),)),
        ]
    if abi < 6:  # neither are signals
        own = tuple(Argument(0, pid & 0xFFFFFFFF, differs=True) for pid in (own_pid, 0, -own_pid))
        out += [Rule("kill", when=own), Rule("tgkill", when=own[:1])]
        out += [Rule(name) for name in ("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")]
    return out


def program(chosen: list[Rule]) -> list[tuple[int, int, int, int]]:
    """The filter as instructions (code, jump if true, jump if false, value)."""
    name = machine()
    load_number = (LOAD, 0, 0, 0)
    out = [
        (LOAD, 0, 0, 4),
        (JUMP_EQUAL, 1, 0, ARCHITECTURES[name]),
        (RETURN, 0, 0, KILL),
        load_number,
        (JUMP_AT_LEAST, 0, 1, LAST_KNOWN + 1),  # so are those of x86-64 with 32-bit pointers
        (RETURN, 0, 0, ERRNO | ENOSYS),
    ]
    for rule in chosen:
        if (at := number(rule.name)) is None:
            continue
        body = []
        for left, condition in zip(range(len(rule.when) - 1, -1, -1), rule.when, strict=True):
            to_reload = 3 * left + 1  # past the other conditions and the return
            jumps = (to_reload, 0) if condition.differs else (0, to_reload)
            body += [
                (LOAD, 0, 0, 16 + 8 * condition.at),
                (AND, 0, 0, condition.mask),
                (JUMP_EQUAL, *jumps, condition.value),
            ]
        body.append((RETURN, 0, 0, ERRNO | rule.result))
        if rule.when:
            body.append(load_number)
        out += [(JUMP_EQUAL, 0, len(body), at), *body]
    return [*out, (RETURN, 0, 0, ALLOW)]


def install(chosen: list[Rule]) -> None:
    """Hold this process, and all that it starts, to the filter. It must have given up new privileges."""
    instructions = program(chosen)
    packed = b"".join(struct.pack("=HBBI", *one) for one in instructions)
    text = ctypes.create_string_buffer(packed, len(packed))
    head = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(instructions), ctypes.addressof(text)), 16)
    call("prctl", 22, 2, head)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
