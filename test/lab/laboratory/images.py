# SPDX-License-Identifier: MIT
# Copyright (c) Portico contributors
"""The pieces that are booted: the kernel and two initial file systems, made from Debian's packages.

  kernel/          linux-image-*-amd64, unpacked
  busybox/         busybox-static, unpacked
  initrd           the laboratory's own: init and the modules it needs
  guest/vmlinuz    the kernel as a guest of a monitor under test
  guest/vmlinux    the same, uncompressed: an ELF file with a PVH entry, up 4 s earlier; so the
                   laboratory boots it, too
  guest/initrd     prints a marker, runs a script from the command line, powers off
  guest/ext4.tar   ext4's modules, mke2fs and e2fsck with their libraries: a disk for a guest
"""

import io
import lzma
import os
import pathlib
import re
import struct
import tarfile
import zlib

from . import LaboratoryError
from .packages import is_complete, remove

HERE = pathlib.Path(__file__).resolve().parent.parent

LABORATORY_MODULES = ['virtio_pci', 'virtio_console', '9p', '9pnet_virtio', 'overlay',
                      'kvm_amd', 'tun']
GUEST_MODULES = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_net', 'virtio_console',
                 'virtio_rng', '9p', '9pnet_virtio', 'pvpanic_mmio']

# For the guest's ext4. jbd2 asks for crc32c by what it does, not by its name.
EXT4_MODULES = ['crc32c_generic', 'ext4']
EXT4_PROGRAMS = ['mke2fs', 'e2fsck']
EXT4_LIBRARIES = re.compile(r'lib(ext2fs|e2p|com_err|blkid|uuid|c)\.so\.[0-9]+|ld-linux-x86-64\.so\.2')

# Of the kernel's 400 MiB, the kernel and what is near to these modules.
KERNEL_FILES = re.compile(r'boot/vmlinuz-'
                          r'|lib/modules/[^/]+/kernel/(arch/x86/kvm|virt|crypto|lib|fs/(9p|fscache|'
                          r'netfs|overlayfs|fuse|ext4|jbd2|mbcache)|net/(9p|core|vmw_vsock)|drivers/(block|char|'
                          r'crypto/ccp|misc/pvpanic|net/[^/]+\.ko|vhost|virtio))')


class Images:
    def __init__(self, folder, packages):
        self.folder = pathlib.Path(folder)
        self.packages = packages

    def prepare(self):
        """Makes whatever is not there yet; the initial file systems are made anew each time."""
        self.kernel = self._unpack_kernel()
        self.version = next((self.kernel / 'lib/modules').iterdir()).name
        self.busybox = self._unpack_busybox()
        modules = Modules(self.kernel / 'lib/modules' / self.version)
        guest = self.folder / 'guest'
        guest.mkdir(parents=True, exist_ok=True)

        vmlinuz = self.kernel / 'boot' / f'vmlinuz-{self.version}'
        if not newer(guest / 'vmlinuz', vmlinuz):
            replace(guest / 'vmlinuz', vmlinuz.read_bytes())
            (guest / 'vmlinux').unlink(missing_ok=True)
            if elf_file := uncompressed(vmlinuz.read_bytes()):
                replace(guest / 'vmlinux', elf_file)
        self.kernel_image = next(path for path in (guest / 'vmlinux', guest / 'vmlinuz')
                                 if path.is_file())

        self.initrd = self.folder / 'initrd'
        replace(self.initrd, self._initial_file_system('init', LABORATORY_MODULES, modules))
        replace(guest / 'initrd', self._initial_file_system('guest-init', GUEST_MODULES, modules))
        replace(guest / 'ext4.tar', self._ext4(modules))

    def _unpack_kernel(self):
        folder = self.folder / 'kernel'
        kept = folder / '.kept'  # an older laboratory has unpacked fewer modules
        if kept.is_file() and kept.read_text() == KERNEL_FILES.pattern:
            return folder
        # linux-image-amd64 is empty and depends on the kernel of the day.
        name = self.packages.dependency('linux-image-amd64', r'linux-image-[0-9]\S*-amd64')
        # What was there stays until there is something in its place.
        new = self.packages.unpack([name], self.folder / 'kernel.new', KERNEL_FILES.match)
        (new / '.kept').write_text(KERNEL_FILES.pattern)
        remove(folder)
        new.rename(folder)
        return folder

    def _unpack_busybox(self):
        folder = self.packages.unpack(['busybox-static'], self.folder / 'busybox')
        for place in ('bin/busybox', 'usr/bin/busybox'):
            if (folder / place).is_file():
                return folder / place
        raise LaboratoryError('busybox-static has no busybox where it is expected')

    def _ext4(self, modules):
        folder = self.folder / 'e2fsprogs'
        names = [] if is_complete(folder) else self.packages.closure('e2fsprogs')
        self.packages.unpack(names, folder)
        files = {}
        for path in folder.rglob('*'):
            if path.name in EXT4_PROGRAMS and path.parent.name == 'sbin':
                name = f'sbin/{path.name}'
            elif EXT4_LIBRARIES.fullmatch(path.name):
                # The programs name their loader by this path.
                name = ('lib64/' if path.name.startswith('ld-') else 'lib/') + path.name
            else:
                continue
            if path.is_symlink() and os.path.isabs(os.readlink(path)):
                path = folder / os.readlink(path).lstrip('/')
            files[name] = path.read_bytes()
        there = modules.in_order(GUEST_MODULES)
        more = [name for name in modules.in_order(EXT4_MODULES) if name not in there]
        files.update({f'modules/{name}.ko': modules.content(name) for name in more})
        files['modules/ext4.order'] = ''.join(f'{name}\n' for name in more).encode()

        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode='w', format=tarfile.USTAR_FORMAT) as tar:
            for name, content in sorted(files.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o755
                tar.addfile(member, io.BytesIO(content))
        return archive.getvalue()

    def _initial_file_system(self, init, wanted, modules):
        order = modules.in_order(wanted)
        archive = Archive()
        for name in ('bin', 'dev', 'proc', 'sys', 'modules', 'tmp'):
            archive.folder(name)
        archive.file('bin/busybox', self.busybox.read_bytes(), 0o755)
        archive.file('init', (HERE / init).read_bytes(), 0o755)
        if init == 'init':
            archive.file('bin/core', (HERE / 'core').read_bytes(), 0o755)
        for name in order:
            archive.file(f'modules/{name}.ko', modules.content(name))
        archive.file('modules/order', ''.join(f'{name}\n' for name in order).encode())
        return archive.finish()


class Modules:
    """Kernel modules by name, and what each needs before it."""

    def __init__(self, folder):
        self.paths = {path.name.split('.')[0].replace('-', '_'): path
                      for path in folder.rglob('*.ko*')}

    def content(self, name):
        if name not in self.paths:
            raise LaboratoryError(f'the kernel package has no module {name}')
        content = self.paths[name].read_bytes()
        return lzma.decompress(content) if self.paths[name].suffix == '.xz' else content

    def in_order(self, names):
        order = []

        def add(name):
            if name in order:
                return
            found = re.search(rb'\0depends=([^\0]*)\0', self.content(name))
            for needed in found.group(1).decode().split(',') if found else []:
                if needed:
                    add(needed.replace('-', '_'))
            order.append(name)

        for name in names:
            add(name)
        return order


class Archive:
    """A cpio archive of the kind the kernel unpacks ("newc"): see its early-userspace documentation."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def folder(self, name):
        self._entry(name, 0o040755, b'')

    def file(self, name, content, mode=0o644):
        self._entry(name, 0o100000 | mode, content)

    def finish(self):
        self._entry('TRAILER!!!', 0, b'')
        return bytes(self.data)

    def _entry(self, name, mode, content):
        self.inode += 1
        name = name.encode() + b'\0'
        # inode, mode, owner, group, links, time, size, device and special device (2 each), name, sum
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        self.data += b'070701' + b''.join(b'%08x' % field for field in fields) + name
        self._align()
        self.data += content
        self._align()

    def _align(self):
        self.data += b'\0' * (-len(self.data) % 4)


def uncompressed(image):
    """The ELF file inside a bzImage, or nothing if it is compressed in a way we do not know.

    The Linux boot protocol says where it is and how long.
    """
    if image[0x202:0x206] != b'HdrS':
        raise LaboratoryError('the kernel is no bzImage')
    setup_sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start:start + length]
    kernel = b''
    if payload.startswith(b'\xFD7zXZ\0'):
        kernel = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b'\x1F\x8B'):
        kernel = zlib.decompressobj(wbits=31).decompress(payload)
    return kernel if kernel.startswith(b'\x7FELF') else b''


def newer(path, than):
    return path.is_file() and path.stat().st_mtime >= than.stat().st_mtime


def replace(path, content):
    """Writes a file so that a reader sees the old or the new one, never a part."""
    if path.is_file() and path.read_bytes() == content:
        return
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    part.write_bytes(content)
    part.replace(path)
