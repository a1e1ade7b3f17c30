/// The rules of a device map: one class template each, whose arguments name the guilty and whose
/// text says what to do. What a compiler says of two devices on one port:
///
///   error: static assertion failed: Two entries claim one port. To fix this: move one of them ...
///   note: in instantiation of template class
///         'portico::rules::port_claimed_twice<portico::Text<{"0x3ff"}>, Uart16550, DebugConsole>'
///
/// DeviceMap instantiates them from its `requires`, so that a compiler reports at the line that
/// names the board. Each has a test under test/compile_fail.
#pragma once

namespace portico::rules {

template <class...>
inline constexpr bool holds = false;

/// Never defined: stands where a value would be, behind a rule that was reported.
template <class Type>
Type& nothing();

template <class Port, class First, class Second>
struct port_claimed_twice {
  static_assert(holds<Port, First, Second>,
                "Two entries claim one port. The template arguments name the first such port and "
                "both devices. To fix this: "
                "move one of them, make its Size smaller, or give one instance both ranges with "
                "On<Device, Ranges<...>>.");
};

template <class Address, class First, class Second>
struct address_claimed_twice {
  static_assert(holds<Address, First, Second>,
                "Two MMIO entries claim one address. The template arguments name the first such "
                "address and both devices. To "
                "fix this: move one of them, make its Size smaller, or give one instance both "
                "ranges with On<Device, "
                "Ranges<...>>.");
};

template <class Device>
struct device_has_no_handler {
  static_assert(holds<Device>,
                "A device has no handler. To fix this: give it a public member function `void "
                "write(std::uint8_t)` or "
                "`std::uint8_t read()` (any unsigned width), or a table `using registers = "
                "portico::Registers<...>`.");
};

template <class Device>
struct handlers_are_overloaded {
  static_assert(holds<Device>,
                "A device's `read` or `write` is overloaded, a template, or not accessible, so its "
                "address is ambiguous. To "
                "fix this: give each handler a name of its own and list them in `using registers = "
                "portico::Registers<...>`.");
};

template <class Device>
struct handler_has_wrong_signature {
  static_assert(holds<Device>,
                "A device's `read` or `write` is no handler. To fix this: `void write(V value)` "
                "and `V read()` with V one of "
                "std::uint8_t, 16, 32, 64, or gsl::span<V const> and gsl::span<V> for batches, or "
                "(std::uint64_t offset, "
                "gsl::span<std::byte [const]>) for raw bytes; after that GuestMemory&, IrqLine&, "
                "Clock&, Watch&, RunControl&.");
};

template <class Base, class Device>
struct range_ends_past_its_space {
  static_assert(
      holds<Base, Device>,
      "A range ends past its space: ports go up to 0xFFFF, guest-physical addresses to 2^52 - 1. "
      "The template "
      "arguments name the range's base and the device. To fix this: lower its base or its Size.");
};

template <class Device>
struct device_has_no_range {
  static_assert(holds<Device>,
                "A device stands on no range. To fix this: name at least one in On<Device, "
                "Ranges<...>>.");
};

template <class Device>
struct size_is_unknown {
  static_assert(holds<Device>,
                "A device that takes raw bytes needs the size of its range. To fix this: add the "
                "option Size<n>, in bytes.");
};

template <class Offset, class Width, class Device>
struct register_listed_twice {
  static_assert(holds<Offset, Width, Device>,
                "A register table has two entries for one offset and width. The template arguments "
                "name both (width 0: raw bytes) and the device. "
                "To fix this: join them with ReadWrite<offset, read, write>, or give one another "
                "offset or width.");
};

template <class Offset, class Device>
struct register_outside_its_range {
  static_assert(
      holds<Offset, Device>,
      "A register lies outside its range, so no access would reach it. The template arguments name "
      "its offset "
      "(times the Stride) and the device. To fix this: make Size larger or leave it out.");
};

template <class Offset, class Device>
struct register_wider_than_its_range {
  static_assert(
      holds<Offset, Device>,
      "An MMIO register, or a block of raw bytes, is wider than what is left of its range. "
      "The template arguments "
      "name its offset (times the "
      "Stride) and the device. To fix this: make Size larger or leave it out.");
};

template <class Offset, class Device>
struct port_register_too_wide {
  static_assert(holds<Offset, Device>,
                "A register of 8 bytes stands on a port, where accesses have 1, 2 or 4 bytes. The "
                "template arguments name its "
                "offset and the device. To fix this: split it, or place the device with Mmio.");
};

template <class Line, class First, class Second>
struct irq_line_not_shared {
  static_assert(holds<Line, First, Second>,
                "One interrupt line is given to two devices that do not both share it. The "
                "template arguments name the line "
                "and both devices. To fix this: give one another line, or say Irq<n, Level, "
                "Shared> for both.");
};

template <class Line, class First, class Second>
struct irq_line_edge_and_level {
  static_assert(holds<Line, First, Second>,
                "Two entries share an interrupt line, one as Edge and one as Level. The template "
                "arguments name the line and "
                "both devices. To fix this: make both Level.");
};

template <class Device>
struct device_needs_an_irq_line {
  static_assert(holds<Device>,
                "A handler asks for IrqLine&, but the entry gives its device no line. To fix this: "
                "add the option Irq<n>.");
};

template <class Device>
struct device_is_for_one_thread {
  static_assert(holds<Device>,
                "A machine with several vCPUs has a device that does not say that several threads "
                "may call it. To fix this: "
                "place Locked<Device>, or, if its handlers are safe, add to it "
                "`static constexpr auto threads = portico::Threads::any;`.");
};

template <class Name>
struct name_used_twice {
  static_assert(
      holds<Name>,
      "Two entries have one name. The template argument tells it. To fix this: rename one.");
};

template <class Name>
struct no_entry_has_this_name {
  static_assert(
      holds<Name>,
      "get<\"name\">(): no entry has this name. To fix this: add Named<\"...\"> to the entry.");
};

template <class Device>
struct no_entry_has_this_device {
  static_assert(holds<Device>, "get<Device>(): no entry of the map holds such a device.");
};

template <class Device>
struct several_entries_have_this_device {
  static_assert(holds<Device>,
                "get<Device>(): several entries hold such a device. To fix this: name them with "
                "Named<\"...\"> and ask by name.");
};

template <class Option, class Device>
struct option_is_unknown {
  static_assert(holds<Option, Device>,
                "An entry has an option that is none. The options are Size<n>, Stride<n>, Irq<n, "
                "...>, Named<\"...\">. The template arguments name it and the device.");
};

template <class Option, class Device>
struct option_given_twice {
  static_assert(holds<Option, Device>,
                "An entry has two options of one kind. The template arguments name the second and "
                "the device. To fix this: leave one out.");
};

template <class Entry>
struct entry_is_unknown {
  static_assert(holds<Entry>,
                "A device map has an entry that is none. The entries are Port<base, Device, ...>, "
                "Mmio<base, Device, ...>, "
                "On<Device, Ranges<...>, ...>, and Offload<...> or Coalesced<...> of one of these, "
                "with <portico/device/offload.hpp> or <portico/device/coalesced.hpp> included.");
};

template <class Device>
struct banks_and_ranges_differ {
  static_assert(holds<Device>,
                "A device has register banks, and its entry another number of ranges. To fix this: "
                "give On<Device, "
                "Ranges<...>> one range for each of Device::banks.");
};

template <class Map>
struct one_argument_per_entry {
  static_assert(holds<Map>,
                "A board takes one argument per entry, in the map's order: the device, or a "
                "callable that returns it.");
};

template <class Board>
struct board_cannot_be_moved {
  static_assert(holds<Board>,
                "A device of this board cannot be moved (it holds a lock, say), so neither can the "
                "board. To fix this: give the machine a callable that returns it, as in "
                "Machine{memory, [&] { return Board{...}; }}.");
};

template <class Device>
struct deadline_needs_a_lock {
  static_assert(holds<Device>,
                "A device's deadline() would be called by the machine's I/O thread while a vCPU is "
                "in one of its handlers. To fix this: wrap it in the map, Locked<Device>; or let "
                "the device say `static constexpr auto deadline_threads = portico::Threads::any;` "
                "if deadline() is safe beside its handlers; or service deadlines yourself, with "
                "the machine's option DeadlinesByHand.");
};

template <class Device>
struct event_needs_a_lock {
  static_assert(holds<Device>,
                "A device's event() would be called by the machine's I/O thread while a vCPU is "
                "in one of its handlers. To fix this: wrap it in the map, Locked<Device>; or, if "
                "event() is safe beside its handlers and these beside each other, let the device "
                "say `static constexpr auto threads = portico::Threads::any;`; or call it "
                "yourself, with the machine's option DeadlinesByHand.");
};

template <class Device>
struct watch_without_an_event {
  static_assert(holds<Device>,
                "A handler asks for Watch&, and its device has nothing to be called when the "
                "descriptor can be read. To fix this: give it a public member function `void "
                "event()`, which may ask for GuestMemory&, IrqLine&, Clock&, Watch&, "
                "RunControl&.");
};

template <class Device>
struct offload_needs_doorbells {
  static_assert(holds<Device>,
                "An entry is offloaded whose device has no doorbells: each of its registers must "
                "be served before the guest goes on, so there is nothing for another thread to do. "
                "To fix this: leave out Offload; or, if a write to a register only says that there "
                "is work, name it in the device, `using doorbells = "
                "portico::Doorbells<portico::Doorbell<offset, &Device::handler, values...>>`.");
};

template <class Offset, class Device>
struct doorbell_is_no_register {
  static_assert(holds<Offset, Device>,
                "A doorbell is not in its device's register table: no row has its offset and its "
                "handler for writing. The template arguments name the offset and the device. To "
                "fix this: add WriteOnly<offset, &Device::handler> to the table, or correct the "
                "doorbell.");
};

template <class Offset, class Device>
struct doorbell_listed_twice {
  static_assert(holds<Offset, Device>,
                "Two doorbells stand at one offset with one value, or with any value. The template "
                "arguments name the offset and the device. To fix this: leave one out.");
};

template <class Offset, class Device>
struct doorbell_must_be_served_at_once {
  static_assert(holds<Offset, Device>,
                "An offloaded doorbell's handler asks for RunControl&: the run would go on beyond "
                "the write that ends it. The template arguments name the doorbell's offset and the "
                "device. To fix this: take it out of the device's doorbells.");
};

template <class Device>
struct offload_of_banks {
  static_assert(holds<Device>,
                "An entry is offloaded whose device has several register tables, so that a "
                "doorbell's offset does not say where it stands. To fix this: leave out Offload.");
};

template <class Device>
struct offload_with_any_width {
  static_assert(holds<Device>,
                "Offload<..., AnyWidth>: a doorbell of the device names values, which KVM compares "
                "with all bytes of the write, so that it must know their number. To fix this: "
                "leave out AnyWidth, or name no values.");
};

template <class Device>
struct coalesced_write_must_happen_at_once {
  static_assert(holds<Device>,
                "A coalesced entry's device has a write handler that asks for RunControl&, "
                "IrqLine& or Watch&, or for Clock& where its deadline() asks for one of these. The "
                "write may lie in KVM's ring until the guest leaves for another reason, and a "
                "guest that waits for its effect waits for ever. To fix this: leave out "
                "Coalesced.");
};

template <class Device>
struct coalesced_without_writes {
  static_assert(holds<Device>,
                "An entry is coalesced whose device has no register to write. To fix this: leave "
                "out Coalesced.");
};

template <class Device>
struct controller_needs_a_lock {
  static_assert(holds<Device>,
                "An interrupt controller in the board is driven by every thread that raises a "
                "line. To fix this: wrap it in the map, Locked<Device>.");
};

template <class Device>
struct controller_serves_one_vcpu {
  static_assert(holds<Device>,
                "A board whose only interrupt controller has one output (an 8259A) serves one "
                "vCPU. To fix this: use Vcpus<1>, add an IOAPIC to the board, or leave the "
                "controllers to KVM.");
};

template <class Line, class Device>
struct irq_line_beyond_the_controller {
  static_assert(holds<Line, Device>,
                "An entry has an interrupt line that the board's controller lacks: an 8259A pair "
                "has lines 0 to 15. To fix this: give the entry one of those, or add an IOAPIC.");
};

template <class Board>
struct board_has_several_controllers {
  static_assert(holds<Board>,
                "A board has two interrupt controllers of one kind. To fix this: leave one 8259A "
                "pair (one entry on both its ranges) and one IOAPIC.");
};

template <class Option, class Board>
struct controllers_are_in_the_board {
  static_assert(holds<Option, Board>,
                "A machine is to have its interrupt controllers, or its 8254, in the kernel, and "
                "the board has controllers of its own. To fix this: leave out the option, or the "
                "controllers' entries.");
};

template <class Device, class Map>
struct map_has_no_such_device {
  static_assert(holds<Device, Map>,
                "DynamicMap::place: the device is none of the map's. To fix this: add it to "
                "DynamicMap<...>.");
};

template <class Service>
struct context_lacks {
  static_assert(holds<Service>,
                "A handler asks for something that this context does not have. The template "
                "argument names it. To fix this: "
                "give it to the Context, as in `portico::Context context{memory, control};`.");
};

}  // namespace portico::rules
