// A run loop over a fake vCPU, for codegen.py. OBSERVER: the observer that it is given, or nothing.
#include <portico/machine.hpp>

// What KVM would be: declared only, so that nothing of it is inlined.
struct ProbeVcpu {
  int run() noexcept;
  kvm_run& page() noexcept;
  bool immediate_exit(bool) noexcept;
  kvm_regs regs() const;
  kvm_sregs sregs() const;
  void set_regs(kvm_regs const&);
  void set_sregs(kvm_sregs const&);
  void set_cpuid(int);
};

struct ProbeVm {
  ProbeVcpu create_vcpu(unsigned);
  void set_user_memory_region(std::uint32_t, std::uint64_t, gsl::span<std::byte>);
  void reserve_real_mode_pages();
  void create_irqchip();
  portico::Fd const& fd() const;
};

struct ProbeSystem {
  ProbeVm create_vm() const;
  int supported_cpuid() const;
};

template <int Number>
struct Device {
  void write(std::uint8_t);
  std::uint8_t read();
};

struct Exit {
  void write(std::uint32_t, portico::RunControl&);
};

struct Disk {
  void sector(std::uint32_t);
  void address(std::uint64_t);
  void execute(std::uint8_t, portico::GuestMemory&, portico::Clock&);
  std::uint16_t status();
  void read(std::uint64_t, gsl::span<std::byte>);
  void write(std::uint64_t, gsl::span<std::byte const>);
  using registers = portico::Registers<
      portico::WriteOnly<0, &Disk::sector>, portico::WriteOnly<8, &Disk::address>,
      portico::WriteOnly<16, &Disk::execute>, portico::ReadOnly<18, &Disk::status>,
      portico::Bytes<32, 32, &Disk::read, &Disk::write>>;
};

struct Count {
  void access(portico::Access const&, portico::Claim const&) { ++accesses; }

  int accesses = 0;
};

using Board =
    portico::DeviceMap<portico::Port<0xE9, Device<0>>, portico::Port<0x278, Device<1>>,
                       portico::Port<0x3F8, Device<2>>, portico::Port<0x501, Exit>,
                       portico::Mmio<0xD000'0000, Disk>, portico::Mmio<0xD000'1000, Device<3>>>;
using Machine = portico::Machine<Board, portico::Hypervisor<ProbeSystem>>;

#ifdef OBSERVER
extern "C" portico::Stop run(Machine& machine) { return machine.run(OBSERVER); }
#else
extern "C" portico::Stop run(Machine& machine) { return machine.run(); }
#endif
