export { Dialog, DropdownMenu, Select } from 'bits-ui';
