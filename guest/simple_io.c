// Counts on a disk how often it was run.

#include <simple_io.h>

struct Sector {
  char text[8];
  uint32_t runs;
  char rest[SECTOR_SIZE - 12];
};

static struct DiskStatus status;
static struct Sector first;

int main(void) {
  if (disk_setup(&status) != 0) {
    printf("There is no disk.\n");
    halt_with(1, 0);
  }
  printf("The disk has %u sectors.\n", (unsigned)(status.size / SECTOR_SIZE));
  int32_t error = disk_read(&status, 0, &first);
  if (error == 0) {
    if (strncmp(first.text, "runs", sizeof first.text) != 0) {
      memset(&first, 0, sizeof first);
      memcpy(first.text, "runs", 5);
    }
    ++first.runs;
    printf("This is run %u.\n", first.runs);
    error = disk_write(&status, 0, &first);
  }
  if (error != 0) printf("The disk reports error %d.\n", error);
  halt_with((uint32_t)error, first.runs);
}
