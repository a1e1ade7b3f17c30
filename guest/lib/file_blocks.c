// Files by block requests: the address of a structure goes out, the host fills in its result.

#include <guest.h>

int64_t file_request(struct FileRequest* request) {
  request->result = -1;  // stays, should the host drop the request
  outl(PORT_FILE, (uint32_t)(uintptr_t)request);
  return request->result;
}

static int64_t make_request(enum FileOperation operation, int file, void const* data,
                            size_t length) {
  struct FileRequest request = {
      .operation = operation,
      .descriptor = file,
      .address = (uintptr_t)data,
      .length = length,
  };
  return file_request(&request);
}

int file_open(char const* name) { return (int)make_request(kOpenToRead, 0, name, strlen(name)); }

int file_create(char const* name) { return (int)make_request(kOpenToWrite, 0, name, strlen(name)); }

int file_close(int file) { return (int)make_request(kClose, file, NULL, 0); }

int64_t file_read(int file, void* buffer, size_t length) {
  return make_request(kRead, file, buffer, length);
}

int64_t file_write(int file, void const* buffer, size_t length) {
  return make_request(kWrite, file, buffer, length);
}
