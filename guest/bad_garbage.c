// Throws garbage at port 0x278: bytes without sense, addresses without sense, and requests whose
// every field lies. Each lie must be refused, and afterwards the device must work as ever.
//
// Among the garbage are names that may be created: run it in a folder of its own.

#include <guest.h>

static uint64_t state = 2024;
static int refused;
static int failures;

static void throw_bytes(int count) {
  for (int i = 0; i < count; ++i) {
    uint64_t random = next_random(&state);
    if (random >> 61 == 0) {
      inb(PORT_FILE);
    } else {
      outb(PORT_FILE, (uint8_t)(random >> 32));
    }
  }
}

static void throw_addresses(int count) {
  for (int i = 0; i < count; ++i) {
    outl(PORT_FILE, (uint32_t)(next_random(&state) >> 32) | 16 << 20);  // beyond any RAM
  }
}

/// Requests made of random bytes, at any alignment.
static void throw_requests(int count) {
  enum { kArea = 4096 };

  char* area = allocate(kArea);
  for (int i = 0; i < kArea; i += 8) {
    uint64_t random = next_random(&state);
    memcpy(area + i, &random, sizeof random);
  }
  for (int i = 0; i < count; ++i) {
    size_t offset = next_random(&state) % (kArea - sizeof(struct FileRequest));
    outl(PORT_FILE, (uint32_t)(uintptr_t)(area + offset));
  }
}

static void refuse(char const* what, struct FileRequest request) {
  if (file_request(&request) == -1) {
    ++refused;
  } else {
    ++failures;
    printf("not refused: %s (%ld)\n", what, request.result);
  }
}

static void lie_about_memory(uint32_t operation, int file, uint64_t length) {
  uint64_t const end = memory_size();

  struct {
    uint64_t address, length;
  } const lies[] = {
      {end, length},               // just behind RAM
      {end - length + 1, length},  // one byte too far
      {0, end + 1},                // more than there is
      {end + (1 << 30), length},   // far outside
      {UINT64_MAX, length},        // wraps round
      {UINT64_MAX - 7, 16},
      {16, UINT64_MAX},
      {16, UINT64_MAX - 15},  // the sum is 0
      {1, INT64_MAX},
      {1ull << 63, 1ull << 63},  // the sum is 0 again
      {UINT64_MAX, UINT64_MAX},
  };

  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; ++i) {
    char what[64];
    snprintf(what, sizeof what, "operation %u, 0x%lx + 0x%lx", operation, lies[i].address,
             lies[i].length);
    refuse(what, (struct FileRequest){.operation = operation,
                                      .descriptor = file,
                                      .address = lies[i].address,
                                      .length = lies[i].length});
  }
}

static void lie_about_descriptors(void) {
  static int32_t const lies[] = {-1, INT32_MIN, INT32_MAX, 1 << 14, 1 << 20, 0x01010101};
  char buffer[8];
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; ++i) {
    for (uint32_t operation = kClose; operation <= kWrite; ++operation) {
      refuse("a descriptor", (struct FileRequest){.operation = operation,
                                                  .descriptor = lies[i],
                                                  .address = (uintptr_t)buffer,
                                                  .length = sizeof buffer});
    }
  }
}

static void lie_about_operations(void) {
  static uint32_t const lies[] = {0, 6, 7, 0x100, 0x101, 0x1000000, 0x80000001, UINT32_MAX};
  static char const name[] = "garbage.txt";
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; ++i) {
    refuse("an operation",
           (struct FileRequest){
               .operation = lies[i], .address = (uintptr_t)name, .length = sizeof name - 1});
  }
}

/// A request at `address`, near the end of RAM where only the stack's oldest bytes lie, which are
/// put back. @return whether the host answered it
__attribute__((noinline)) static bool request_at(uint64_t address) {
  enum { kBytes = sizeof(struct FileRequest) };

  uint64_t const end = memory_size();
  char* last = (char*)(end - kBytes);
  char kept[kBytes];
  memcpy(kept, last, kBytes);

  // Close a descriptor that is none: nothing but a result of -1 comes of that.
  struct FileRequest const request = {.operation = kClose, .descriptor = -1, .result = 12345};
  uint64_t inside = address < end ? end - address : 0;
  memcpy((char*)address, &request, inside < kBytes ? inside : kBytes);
  char before[kBytes];
  memcpy(before, last, kBytes);
  outl(PORT_FILE, (uint32_t)address);
  bool answered = memcmp(before, last, kBytes) != 0;

  memcpy(last, kept, kBytes);
  return answered;
}

static void expect(char const* what, bool is_so) {
  printf("%s: %s\n", what, is_so ? "yes" : "NO");
  failures += !is_so;
}

static void reach_over_the_end(void) {
  uint64_t const end = memory_size();
  bool dropped = true;
  for (uint64_t address = end - 31; address <= end; ++address) dropped &= !request_at(address);
  dropped &= !request_at(UINT32_MAX) && !request_at(UINT32_MAX - 31);
  expect("a request that ends outside is dropped", dropped);
  expect("the last place in RAM is good enough", request_at(end - 32));
}

/// A request may be its own buffer: the result is written last.
static void read_over_the_request(void) {
  static char const text[] = "This text will replace a request.";
  int file = file_create("garbage.txt");
  file_write(file, text, 32);
  file_close(file);
  file = file_open("garbage.txt");
  struct FileRequest request = {
      .operation = kRead, .descriptor = file, .address = (uintptr_t)&request, .length = 32};
  expect("a request can be its own buffer",
         file_request(&request) == 32 && memcmp(&request, text, 24) == 0);
  file_close(file);
}

static void work_as_ever(void) {
  int file = fopen("after.txt", 'w');
  bool works = fwrite('o', file) == 'o' && file_write(file, "kay", 3) == 3 && fclose(file) == 0;
  file = fopen("after.txt", 'r');
  char text[8];
  works &= fread(file) == 'o' && file_read(file, text, 8) == 3 && memcmp(text, "kay", 3) == 0;
  works &= fread(file) == EOF && fclose(file) == 0;
  expect("the device still works", works);
}

int main(void) {
  throw_bytes(20000);
  throw_addresses(2000);
  throw_requests(2000);
  inb(PORT_FILE);  // drops what may have been begun

  int file = file_create("garbage.txt");
  file_write(file, "0123456789", 10);
  int reader = file_open("garbage.txt");
  lie_about_memory(kOpenToRead, 0, 11);
  lie_about_memory(kOpenToWrite, 0, 11);
  lie_about_memory(kRead, reader, 8);
  lie_about_memory(kWrite, file, 8);
  lie_about_descriptors();
  lie_about_operations();
  printf("%d lies refused\n", refused);

  expect("a refused read takes nothing", fread(reader) == '0');
  file_close(reader);
  file_close(file);
  reader = file_open("garbage.txt");
  char text[16];
  expect("a refused write adds nothing", file_read(reader, text, sizeof text) == 10);
  file_close(reader);

  reach_over_the_end();
  read_over_the_request();
  work_as_ever();
  printf("%d failures\n", failures);
  return 0;
}
