#include "rig.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>

#include <portico/base/bytes.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/x86/long_mode.hpp>

namespace exits {

namespace kvm = portico::kvm;

Image::Image(std::string const& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> const file{std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose};
  if (!file) throw std::system_error{errno, std::system_category(), path};
  bytes_.resize(Control::place);
  bytes_.resize(std::fread(bytes_.data(), 1, bytes_.size(), file.get()));
  constexpr std::size_t row = 32;
  constexpr std::size_t name = 24;
  for (std::size_t place = 0; place + row <= bytes_.size(); place += row) {
    char const* const text = reinterpret_cast<char const*>(bytes_.data() + place);
    if (*text == '\0') break;
    places_.emplace(std::string{text, ::strnlen(text, name)},
                    portico::load<std::uint64_t>(bytes_.data() + place + name));
  }
}

std::uint64_t Image::at(std::string const& name) const {
  auto const found = places_.find(name);
  if (found == places_.end()) throw std::out_of_range{"the guest image has no loop " + name};
  return found->second;
}

void enter_ring3(kvm::Vcpu& vcpu, portico::GuestMemory& ram) {
  // A 64-bit TSS of zeros, all ports allowed; at 102 it says where its I/O map begins. The map's
  // last byte is all ones (Intel SDM 1, section 19.5.2).
  constexpr std::uint16_t head = 104;
  constexpr std::uint16_t map = 0x10000 / 8;
  if (!ram.write(task_state + 102, head) ||
      !ram.write(task_state + head + map, std::uint8_t{0xFF})) {
    throw Mismatch{"no room for the task state segment"};
  }
  kvm_sregs special = vcpu.sregs();
  special.tr.base = task_state;
  special.tr.limit = head + map;
  for (kvm_segment* segment : {&special.cs, &special.ds, &special.es, &special.ss}) {
    segment->dpl = 3;
    segment->selector |= 3;
  }
  vcpu.set_sregs(special);
  kvm_regs general = vcpu.regs();
  general.rflags |= 3U << 12;  // IOPL
  vcpu.set_regs(general);
}

TimeLimit::TimeLimit(kvm::Kick& kick, double seconds)
    : thread_{[this, &kick, seconds] {
        std::unique_lock lock{mutex_};
        if (changed_.wait_for(lock, std::chrono::duration<double>{seconds},
                              [this] { return done_; })) {
          return;
        }
        over_.store(true);
        kick.send();
      }} {}

TimeLimit::~TimeLimit() {
  {
    std::lock_guard const lock{mutex_};
    done_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

namespace {

kvm::Vm make_vm(kvm::System const& system, Controllers controllers) {
  kvm::Vm vm = system.create_vm();
  vm.reserve_real_mode_pages();
  if (controllers == Controllers::kernel) vm.create_irqchip();
  return vm;
}

}  // namespace

Rig::Rig(kvm::System const& system, Image const& image, int ring, Controllers controllers,
         double first_seconds, double seconds)
    : image_{image},
      vm_{make_vm(system, controllers)},
      vcpu_{vm_.create_vcpu(0)},
      first_seconds_{first_seconds},
      seconds_{seconds} {
  portico::LongMode const mode{portico::PageSize::k2MiB,
                               {{window, portico::GuestMemory::page_bytes, portico::PageSize::k4KiB,
                                 portico::Caching::uncached},
                                {0xFEE0'0000, portico::GuestMemory::page_bytes,
                                 portico::PageSize::k4KiB, portico::Caching::uncached}}};
  // The tables lie behind RAM, in its slot.
  std::uint64_t const tables = mode.table_bytes(ram_.regions());
  portico::Region const& region = ram_.regions()[0];
  vm_.set_user_memory_region(0, 0, {region.host, static_cast<std::size_t>(ram_size + tables)});
  mode.build_tables(ram_.tail(), ram_size, ram_.regions());
  if (!ram_.copy_out(0, image.bytes())) throw Mismatch{"the guest image does not fit"};
  control_ =
      reinterpret_cast<Control volatile*>(ram_.span(Control::place, sizeof(Control))->data());

  portico::x86::CpuState state =
      portico::LongMode::cpu_state(ram_size, image.at("start"), ram_size);
  state.gdt = {image.at("gdt"), 3 * 8 - 1};
  state.idt = {image.at("idt"), 0x41 * 16 - 1};
  kvm::set_cpu_state(vcpu_, state);
  if (ring == 3) enter_ring3(vcpu_, ram_);
}

void Rig::order(Order const& order) {
  if (++orders_ <= 2) limit_.emplace(kick_, orders_ == 1 ? first_seconds_ : seconds_);
  control_->entry = image_.at(order.loop);
  control_->count = order.rounds;
  control_->port = order.port;
  control_->address = order.address;
  control_->value = order.value;
  control_->length = order.length;
  batches_ = control_->batches;
}

void Rig::verify() {
  if (!at_end()) unexpected();
  if (control_->batches != batches_ + 1) {
    throw Mismatch{"the guest says that it has carried out " +
                   std::to_string(control_->batches - batches_) + " orders, not one"};
  }
}

void Rig::verify(std::uint64_t sum) {
  verify();
  if (control_->sum != sum) {
    throw Mismatch{"the guest's sum is " + std::to_string(control_->sum) + ", the host's " +
                   std::to_string(sum)};
  }
}

void Rig::unexpected() {
  std::string text = kvm::name(page().exit_reason);
  if (page().exit_reason == KVM_EXIT_IO) text += ", port " + std::to_string(page().io.port);
  if (page().exit_reason == KVM_EXIT_MMIO) {
    text += ", address " + std::to_string(page().mmio.phys_addr);
  }
  throw Mismatch{"the guest left with " + text + " at rip " + std::to_string(vcpu_.regs().rip)};
}

void Rig::fail_unless_interrupted(int error) {
  if (error == EINTR && limit_ && limit_->over()) {
    char text[64];
    std::snprintf(text, sizeof text, "KVM_RUN did not return within %g s",
                  orders_ == 1 ? first_seconds_ : seconds_);
    throw Lacking{text, EINTR};
  }
  if (error == EINTR) return;  // somebody else's signal
  throw Lacking{"KVM_RUN", error};
}

void Rig::check() {
  if (page().exit_reason == KVM_EXIT_INTERNAL_ERROR) {
    throw Lacking{"KVM_RUN: KVM_EXIT_INTERNAL_ERROR, suberror " +
                  std::to_string(page().internal.suberror)};
  }
  if (page().exit_reason == KVM_EXIT_SHUTDOWN || page().exit_reason == KVM_EXIT_FAIL_ENTRY) {
    unexpected();
  }
}

}  // namespace exits
