/// What a guest of `mini_hypervisor` can call: the console, files, memory, strings and `printf`.
///
/// ```c
/// #include <guest.h>
///
/// int main(void) {
///   int file = fopen("notes.txt", 'r');
///   for (char c; (c = fread(file)) != EOF;) putchar(c);
///   fclose(file);
///   printf("that was %s\n", "notes.txt");
///   return 0;  // the guest halts
/// }
/// ```
///
/// Limits: one processor, no interrupts, no floating point. `FILE` does not exist: a file is a
/// number, as in the old guests. Nothing here is buffered; a byte to the console is one exit.

#ifndef PORTICO_GUEST_H
#define PORTICO_GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// End of a file or of the input, in the functions that return one `char`.
///
/// The protocol has no other sign for it, so a byte 0xFF in a file looks the same to `fread`;
/// `file_read` tells them apart.
#define EOF (-1)

/// The longest name of a file, in bytes, without its 0.
#define NAME_LIMIT 300

// --- Ports

#define PORT_CONSOLE 0xE9
#define PORT_FILE 0x278

static inline void outb(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t value) {
  __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t value) {
  __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t inb(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static inline uint16_t inw(uint16_t port) {
  uint16_t value;
  __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static inline uint32_t inl(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

/// Ends this guest.
_Noreturn void halt(void);

// --- The old wrappers: console and files, one byte at a time

/// Writes one byte to the terminal.
void putchar(char c);

/// Reads one byte from the terminal, waiting for it; `EOF` at the end of the input.
char getchar(void);

/// Opens a file for reading (mode 'r') or for writing (mode 'w': creates it or empties it).
/// @return its descriptor, or -1
int fopen(char const* name, char mode);

/// Closes a file.
/// @return 0, or -1
int fclose(int file);

/// Reads the next byte; `EOF` at the end of the file and on error.
char fread(int file);

/// Writes one byte.
/// @return the byte, or `EOF` on error
char fwrite(char c, int file);

// --- Files by blocks: one exit for each call, whatever the length
//
// Descriptors are the same as the old wrappers', so both may be used on one file.

/// Opens a file for reading.
/// @return its descriptor, or -1
int file_open(char const* name);

/// Opens a file for writing: creates it, or empties it.
/// @return its descriptor, or -1
int file_create(char const* name);

/// Closes a file.
/// @return 0, or -1
int file_close(int file);

/// Reads up to `length` bytes.
/// @return how many, fewer only at the end of the file and 0 behind it, or -1
int64_t file_read(int file, void* buffer, size_t length);

/// Writes `length` bytes.
/// @return how many, or -1
int64_t file_write(int file, void const* buffer, size_t length);

/// What the calls above hand over: its address goes to port 0x278 as four bytes.
struct FileRequest {
  uint32_t operation;  ///< one of `FileOperation`
  int32_t descriptor;  ///< for close, read and write
  uint64_t address;    ///< of the buffer or the name
  uint64_t length;     ///< of the buffer, or of the name without its 0, in bytes
  int64_t result;      ///< the host's answer: descriptor, count, 0, or -1
};

enum FileOperation { kOpenToRead = 1, kOpenToWrite, kClose, kRead, kWrite };

/// Makes one request by hand, and returns its result (-1 if the host dropped it).
int64_t file_request(struct FileRequest* request);

// --- Memory

/// The size of this guest's RAM in bytes; 0 in a guest with a `_start` of its own.
size_t memory_size(void);

/// Takes memory from what lies between the guest and its stack (64 KiB are left to that).
/// It is aligned to 16 bytes, is never given back, and holds zeros unless the guest used it.
/// @return its address, or `NULL` if there is too little
void* allocate(size_t size);

/// Sums up data, 8 bytes at a time: `sum = (sum ^ word) * 0x100000001B3`, the last word filled
/// up with zeros. Start with `CHECKSUM_START`; pieces must be multiples of 8 but for the last.
uint64_t checksum(uint64_t sum, void const* data, size_t length);

#define CHECKSUM_START 0xCBF29CE484222325u

/// The next of a sequence of numbers without visible order; `*state` is not 0, and decides it.
static inline uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state * 0x2545F4914F6CDD1Du;
}

// --- Text

/// Prints to the terminal.
///
/// Conversions: `%d %i %u %x %X %o %c %s %p %%`; flags `- 0 + space #`; width and precision, also
/// as `*`; lengths `hh h l ll z t j`. Anything else is printed as it stands.
/// @return how many bytes were printed
int printf(char const* format, ...) __attribute__((format(printf, 1, 2)));
int vprintf(char const* format, va_list arguments) __attribute__((format(printf, 1, 0)));

/// Prints into `buffer`, of `size` bytes, always ended by a 0 if `size` is not 0.
/// @return how many bytes there would have been with room enough
int snprintf(char* buffer, size_t size, char const* format, ...)
    __attribute__((format(printf, 3, 4)));
int vsnprintf(char* buffer, size_t size, char const* format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/// Prints a text and a newline.
void puts(char const* text);

#endif
